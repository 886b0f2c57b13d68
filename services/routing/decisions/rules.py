"""Which department a message is for, and which others may take it instead (docs/rules.md, 3)."""

from services.routing.model import Documents, Key, Rule, Tenant
from shared.contracts.content import Text
from shared.contracts.inbound_messages import MessageReceived
from shared.contracts.pair import canonical_address


def department_for(tenant: Tenant, message: MessageReceived) -> str:
    """Return the id of the department that a new chat with this message belongs to."""
    return next(
        (rule.department_id for rule in tenant.rules if _matches(rule, message)), tenant.first_line_department
    )


def fallbacks(documents: Documents, key: Key) -> tuple[Key, ...]:
    """Return whom to ask after a department: its fallback, that one's, and so on, nobody twice."""
    found = [key]
    while (department := documents.departments.get(found[-1][1])) is not None:
        following = (key[0], department.fallback_id)
        if following[1] is None or following in found:
            break
        found.append((key[0], following[1]))
    return tuple(found[1:])


def _matches(rule: Rule, message: MessageReceived) -> bool:
    hints = message.hints
    checks = (
        (rule.channel, message.channel),
        (
            rule.business_address and canonical_address(rule.business_address),
            canonical_address(message.business_address),
        ),
        (rule.language, hints.language if hints else None),
        (rule.hint, hints.department if hints else None),
    )
    if any(wanted is not None and wanted != found for wanted, found in checks):
        return False
    return rule.keyword is None or _says(rule.keyword, message)


def _says(keyword: str, message: MessageReceived) -> bool:
    content = message.content
    return isinstance(content, Text) and keyword.casefold() in content.text.casefold()
