"""Which department a message is for, and which others may take it instead (docs/rules.md, 3)."""

from collections.abc import Mapping
from typing import Any

from services.routing.model import Documents, Key, Tenant
from shared.contracts.content import Text
from shared.contracts.inbound_messages import MessageReceived
from shared.contracts.pair import canonical_address


def department_for(tenant: Tenant, place: int | None) -> str:
    """Return the id of the department that the rule at ``place`` names, or for None the first line."""
    return tenant.first_line_department if place is None else tenant.rules[place].department_id


def why_there(tenant: Tenant, place: int | None) -> Mapping[str, Any]:
    """Record what chose a chat's department: the rule at ``place`` (from 0), or for None the first line.

    ``rules`` has the revision of each document of rules that was gone by.
    """
    return {"rule": place, "rules": tenant.rules_revisions, "tenant_revision": tenant.revision}


def rule_for(tenant: Tenant, message: MessageReceived) -> int | None:
    """Return the place of the first rule whose values all match, None if there is none.

    Rules are looked up by the values they name, since a tenant with hundreds of departments has hundreds
    of rules.
    """
    if not tenant.rules:
        return None
    hints = message.hints
    said = (
        message.channel,
        canonical_address(message.business_address),
        hints.language if hints else None,
        hints.department if hints else None,
    )
    text = message.content.text.casefold() if isinstance(message.content, Text) else None
    first: int | None = None
    for named in tenant.named_by_rules:
        values = tuple(value if counts else None for value, counts in zip(said, named, strict=True))
        for place, rule in tenant.rules_by_values.get(values, ()):
            if first is not None and first < place:
                break
            if rule.keyword is None or (text is not None and rule.keyword.casefold() in text):
                first = place
                break
    return first


def fallbacks(documents: Documents, key: Key) -> tuple[Key, ...]:
    """Return whom to ask after a department: its fallback, that one's, and so on, nobody twice."""
    found = [key]
    while (department := documents.departments.get(found[-1][1])) is not None:
        following = (key[0], department.fallback_id)
        if following[1] is None or following in found:
            break
        found.append((key[0], following[1]))
    return tuple(found[1:])
