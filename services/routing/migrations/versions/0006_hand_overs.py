"""What is being handed over: who asked for it, and which chats are still to be moved."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute(
        """
        create table hand_overs (
            tenant_id text not null,
            hand_over_id text not null,
            agent_id text not null,
            to_department_id text,
            to_agent_id text,
            by_role text not null,
            by_id text,
            note text,
            primary key (tenant_id, hand_over_id)
        )
        """
    )
    op.execute(
        """
        create table handed_over (
            tenant_id text not null,
            hand_over_id text not null,
            chat_id text not null,
            primary key (tenant_id, hand_over_id, chat_id)
        )
        """
    )
    op.execute(
        "create index chats_of_agents on chats (tenant_id, agent_id) where state in ('assigned', 'pending')"
    )


def downgrade() -> None:
    op.execute("drop index chats_of_agents")
    op.execute("drop table handed_over")
    op.execute("drop table hand_overs")
