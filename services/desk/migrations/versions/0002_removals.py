"""When a document was retired, and when it was removed; what is retired already counts from now."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "alter table documents add column retired_at timestamptz, add column removed_at timestamptz,"
        " add check (removed_at is null or retired_at is not null)"
    )
    op.execute("update documents set retired_at = now() where (body ->> 'retired')::boolean")


def downgrade() -> None:
    raise NotImplementedError("a schema is only ever moved forward")
