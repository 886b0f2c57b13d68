"""What is offered to whom: the offer as it was made, and by whom it is looked for."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("alter table chats add column offer text")
    op.execute(
        "alter table chats add column offered_to text"
        " generated always as (cast(offer as jsonb) ->> 'to') stored"
    )
    op.execute("create index chats_offered on chats (tenant_id, offered_to) where offered_to is not null")


def downgrade() -> None:
    op.execute("drop index chats_offered")
    op.execute("alter table chats drop column offered_to")
    op.execute("alter table chats drop column offer")
