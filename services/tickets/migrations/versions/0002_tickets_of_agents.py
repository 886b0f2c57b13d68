"""Finds what an agent holds, for handing it over."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("create index tickets_of_agents on tickets (tenant_id, agent_id) where state = 'assigned'")


def downgrade() -> None:
    raise NotImplementedError("a schema is only ever moved forward")
