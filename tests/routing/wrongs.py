"""Queries for what must never be found in routing's tables once sweeps are done (docs/rules.md, 10)."""

STUCK = """
    select c.chat_id, a.agent_id from chats c join agents a on a.tenant_id = c.tenant_id
    where c.state = 'queued' and c.offered_to is null and c.department_id = any(a.departments)
    and 'agent' = any(a.roles) and a.state = 'online' and not a.draining and a.load < a.capacity
    and (c.skills_relaxed or string_to_array(c.skills, chr(31)) <@ a.skills)
"""
LEFT_BEHIND = """
    select c.chat_id from chats c join agents a using (tenant_id, agent_id)
    where c.state = 'assigned' and c.last_word = 'customer' and a.state = 'offline'
"""
WAIT_FOR_NOBODY = """
    select c.chat_id from chats c where c.state = 'queued' and not exists (
        select from agents a where a.tenant_id = c.tenant_id and c.department_id = any(a.departments)
        and 'agent' = any(a.roles) and a.state = 'online' and not a.draining)
"""
HELD_UNASSIGNED = """
    select chat_id, state, agent_id from chats
    where (state in ('assigned', 'pending')) <> (agent_id is not null) and state <> 'closed'
"""
MISCOUNTED = """
    select a.agent_id, a.load, count(c.chat_id) from agents a
    left join chats c on c.tenant_id = a.tenant_id
        and ((c.agent_id = a.agent_id and c.state = 'assigned') or c.offered_to = a.agent_id
            or (c.previous_agent_id = a.agent_id and c.wrap_up_until is not null))
    group by a.tenant_id, a.agent_id, a.load having a.load <> count(c.chat_id)
"""
UNTIMED = """
    select c.chat_id from chats c where c.state = 'assigned' and c.last_word = 'customer' and not c.flagged
    and not exists (
        select from due d where d.kind = 'answer_overdue' and d.key = c.tenant_id || ':' || c.chat_id)
"""
WRAPPED_UP_BY_NOBODY = """
    select chat_id, state, previous_agent_id from chats
    where wrap_up_until is not null and (state <> 'closed' or previous_agent_id is null)
"""
OFFERED_IN_VAIN = """
    select c.chat_id, c.offered_to from chats c
    left join agents a on a.tenant_id = c.tenant_id and a.agent_id = c.offered_to
    where c.offer is not null and (a.state is distinct from 'online' or a.draining
        or c.state not in ('queued', 'assigned', 'pending') or c.offered_to = c.agent_id)
"""
UNRELAXED = """
    select c.chat_id from chats c where c.state = 'queued' and c.skills <> '' and not c.skills_relaxed
    and not exists (
        select from due d where d.kind = 'relax_skills' and d.key = c.tenant_id || ':' || c.chat_id)
"""
UNSAID = """
    select chat_id from chats where state <> 'closed' and (last_word = 'business') <> (said is not null)
"""
