"""Who belongs to which department, to be found by the department: hundreds at a time, of any tenant.

An index on the lists in ``agents`` is asked for one department well and for hundreds not at all: every agent
is then compared with every name. The rows follow the lists by a trigger, so that nobody can forget them.
"""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute(
        "create table members (tenant_id text not null, department_id text not null, agent_id text not null,"
        " primary key (tenant_id, department_id, agent_id))"
    )
    op.execute("insert into members select distinct tenant_id, unnest(departments), agent_id from agents")
    op.execute(
        """
        create function follow_departments() returns trigger language plpgsql
            set search_path from current as $$
        begin
            if tg_op <> 'INSERT' then
                delete from members where tenant_id = old.tenant_id and agent_id = old.agent_id
                    and department_id = any (old.departments);
            end if;
            if tg_op <> 'DELETE' then
                insert into members select distinct new.tenant_id, unnest(new.departments), new.agent_id;
            end if;
            return null;
        end
        $$
        """
    )
    op.execute(
        "create trigger members_come_and_go after insert or delete on agents"
        " for each row execute function follow_departments()"
    )
    op.execute(
        "create trigger members_change after update of departments on agents for each row"
        " when (old.departments is distinct from new.departments) execute function follow_departments()"
    )
    op.execute("drop index agents_by_department")


def downgrade() -> None:
    op.execute("create index agents_by_department on agents using gin (departments)")
    op.execute("drop trigger members_change on agents")
    op.execute("drop trigger members_come_and_go on agents")
    op.execute("drop function follow_departments")
    op.execute("drop table members")
