"""Whether a set of documents fits together with those that are stored. Pure."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from services.desk.decisions import hours
from services.desk.model import DocumentKey, Problem, Taken
from shared.contracts.directory import (
    AgentDocument,
    CalendarDocument,
    ChannelDocument,
    DepartmentDocument,
    DirectoryDocument,
    RoutingRule,
    RoutingRulesDocument,
    TemplateDocument,
    TenantDocument,
)
from shared.contracts.pair import canonical_address

_Mistake: TypeAlias = tuple[tuple[str | int, ...], str]
_SHOWN = 8
"""How many of the names that exist a message lists."""


@dataclass(frozen=True, slots=True)
class _Together:
    """The tenant's documents as they would be, by kind and id; and what other tenants hold."""

    tenant_id: str
    documents: Mapping[DocumentKey, DirectoryDocument]
    taken: Collection[Taken]

    def names(self, kind: str) -> list[str]:
        return sorted(key.id for key in self.documents if key.kind == kind)

    def has(self, kind: str, name: str) -> bool:
        return DocumentKey(self.tenant_id, kind, name) in self.documents

    def others(self, document: DirectoryDocument) -> Iterator[DirectoryDocument]:
        """Yield the other documents of the same kind."""
        own = DocumentKey.of(self.tenant_id, document)
        return (one for key, one in self.documents.items() if key.kind == own.kind and key != own)


def problems(
    tenant_id: str,
    wanted: Sequence[DirectoryDocument],
    stored: Iterable[DirectoryDocument],
    taken: Collection[Taken] = (),
) -> tuple[Problem, ...]:
    """Return everything wrong with the wanted documents, beside the stored ones they do not replace."""
    keys = [DocumentKey.of(tenant_id, document) for document in wanted]
    documents = {DocumentKey.of(tenant_id, document): document for document in stored}
    together = _Together(tenant_id, documents | dict(zip(keys, wanted, strict=True)), taken)
    found = [*_doubles(keys), *_tenant_missing(together)]
    for nth, document in enumerate(wanted):
        found += [Problem(nth, path, message) for path, message in _mistakes(document, together)]
    return tuple(found)


def _doubles(keys: Sequence[DocumentKey]) -> Iterator[Problem]:
    seen: set[DocumentKey] = set()
    for nth, key in enumerate(keys):
        if key in seen:
            yield Problem(nth, ("id",), f"the {key.kind} {key.id!r} is there twice")
        seen.add(key)


def _tenant_missing(together: _Together) -> Iterator[Problem]:
    if not together.names("tenant"):
        yield Problem(None, (), f"nothing says who the tenant {together.tenant_id!r} is: a tenant is needed")


def _mistakes(document: DirectoryDocument, together: _Together) -> Iterator[_Mistake]:
    yield from _retirement(document, together)
    match document:
        case TenantDocument():
            yield from _in_tenant(document, together)
        case DepartmentDocument():
            yield from _in_department(document, together)
        case AgentDocument():
            yield from _in_agent(document, together)
        case CalendarDocument():
            yield from hours.mistakes(document)
        case ChannelDocument():
            yield from _in_channel(document, together)
        case TemplateDocument():
            yield from _in_template(document, together)
        case RoutingRulesDocument():
            yield from _in_rules(document, together)
        case _:
            raise TypeError(f"nobody wrote rules for {type(document).__name__}")


_STAY = ("tenant", "routing_rules")
"""Kinds that a tenant has one of: they are changed, never retired."""


def _retirement(document: DirectoryDocument, together: _Together) -> Iterator[_Mistake]:
    """Judge a removal's first step: a department's chats go somewhere, nobody uses a calendar."""
    kind = DocumentKey.of(together.tenant_id, document).kind
    if document.retired and kind in _STAY:
        yield ("retired",), f"a {kind} cannot be retired"
    if document.move_to is not None:
        if kind != "department":
            yield ("move_to",), "only a department moves what it held: leave it out"
        elif not document.retired:
            yield ("move_to",), "is for a department that says `retired: true`"
        else:
            yield from _absent(together, "department", document.move_to, ("move_to",))
    if isinstance(document, DepartmentDocument) and document.retired:
        yield from _moving(document, together)
    if isinstance(document, CalendarDocument) and document.retired and (users := _users(document, together)):
        yield ("retired",), f"is still used by {', '.join(users)}: give them another calendar first"


def _moving(department: DepartmentDocument, together: _Together) -> Iterator[_Mistake]:
    if department.move_to is None:
        others = [one.id for one in together.others(department) if not one.retired]
        there = ", ".join(sorted(others)[:_SHOWN]) or "none"
        yield ("retired",), f"needs `move_to`, the department that takes over its chats; there is {there}"
        return
    chain = [department.id]
    target: str | None = department.move_to
    while target is not None and target not in chain:
        chain.append(target)
        found = together.documents.get(DocumentKey(together.tenant_id, "department", target))
        target = found.move_to if found is not None and found.retired else None
    if target is not None:
        shown = " → ".join([*chain, target])
        yield ("move_to",), f"goes round in a circle ({shown}): one of them must stay"


def _users(calendar: CalendarDocument, together: _Together) -> list[str]:
    return [
        f"{key.kind} {key.id}"
        for key, one in sorted(together.documents.items())
        if isinstance(one, TenantDocument | DepartmentDocument)
        and one.calendar == calendar.id
        and not one.retired
    ]


def _in_tenant(tenant: TenantDocument, together: _Together) -> Iterator[_Mistake]:
    if tenant.id != together.tenant_id:
        yield ("id",), f"the tenant's document is called like the tenant: {together.tenant_id!r}"
    yield from _absent(together, "department", tenant.first_line_department, ("first_line_department",))
    yield from _hours_absent(together, tenant.calendar)


def _in_department(department: DepartmentDocument, together: _Together) -> Iterator[_Mistake]:
    if not department.retired:
        yield from _hours_absent(together, department.calendar)
    yield from _absent(together, "department", department.fallback, ("fallback",))
    if _falls_back_on_itself(department, together):
        yield ("fallback",), f"{department.fallback!r} leads back to {department.id!r}: nobody is asked twice"


def _falls_back_on_itself(department: DepartmentDocument, together: _Together) -> bool:
    seen: set[str] = set()
    name = department.fallback
    while name is not None and name not in seen and name != department.id:
        seen.add(name)
        found = together.documents.get(DocumentKey(together.tenant_id, "department", name))
        name = found.fallback if isinstance(found, DepartmentDocument) else None
    return name == department.id


def _in_agent(agent: AgentDocument, together: _Together) -> Iterator[_Mistake]:
    for nth, department in enumerate(agent.departments):
        yield from _absent(together, "department", department, ("departments", nth))
    yield from _repeated(agent.departments, "departments", lambda nth: ("departments", nth))
    yield from _repeated(agent.roles, "roles", lambda nth: ("roles", nth))
    if not agent.roles:
        yield ("roles",), "somebody without a role can do nothing: name agent, supervisor or admin"


def _in_channel(channel: ChannelDocument, together: _Together) -> Iterator[_Mistake]:
    """One address belongs to one tenant and one document: messages find their tenant by it."""
    address = canonical_address(channel.business_address)
    for other in together.others(channel):
        if other.retired or channel.retired:
            continue
        if isinstance(other, ChannelDocument) and _sender(other) == (channel.channel, address):
            yield ("business_address",), f"the channel {other.id!r} has this address already"
    if Taken(channel.channel, address) in together.taken:
        yield ("business_address",), "another tenant has this address"


def _in_template(template: TemplateDocument, together: _Together) -> Iterator[_Mistake]:
    for other in together.others(template):
        if not isinstance(other, TemplateDocument):
            continue
        if (other.name, other.language) == (template.name, template.language):
            yield ("name",), f"the template {other.id!r} has this name and language already"


def _in_rules(rules: RoutingRulesDocument, together: _Together) -> Iterator[_Mistake]:
    channels = [one for one in together.documents.values() if isinstance(one, ChannelDocument)]
    addresses = {canonical_address(one.business_address) for one in channels}
    for nth, rule in enumerate(rules.rules):
        yield from _absent(together, "department", rule.department, ("rules", nth, "department"))
        if rule.business_address is not None and canonical_address(rule.business_address) not in addresses:
            yield (
                ("rules", nth, "business_address"),
                _no("address of a channel", rule.business_address, addresses),
            )
        if nth < len(rules.rules) - 1 and _matches_everything(rule):
            yield ("rules", nth), "this rule matches every message, so the ones after it never decide"


def _absent(
    together: _Together, kind: str, name: str | None, path: tuple[str | int, ...]
) -> Iterator[_Mistake]:
    if name is not None and not together.has(kind, name):
        yield path, _no(kind, name, together.names(kind))


def _hours_absent(together: _Together, name: str | None) -> Iterator[_Mistake]:
    """A calendar that is retired is as good as absent to whoever goes by it."""
    yield from _absent(together, "calendar", name, ("calendar",))
    found = together.documents.get(DocumentKey(together.tenant_id, "calendar", name or ""))
    if found is not None and found.retired:
        yield ("calendar",), f"the calendar {name!r} is retired"


def _no(what: str, name: str, there: Collection[str]) -> str:
    shown = ", ".join(sorted(there)[:_SHOWN])
    more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    return f"there is no {what} {name!r}; there is {shown or 'none'}{more}"


def _repeated(
    words: Sequence[str], where: str, path: Callable[[int], tuple[str | int, ...]]
) -> Iterator[_Mistake]:
    counted: Counter[str] = Counter()
    for nth, word in enumerate(words):
        counted[word] += 1
        if counted[word] > 1:
            yield path(nth), f"{word!r} is in {where} twice"


def _sender(channel: ChannelDocument) -> tuple[str, str]:
    return channel.channel, canonical_address(channel.business_address)


def _matches_everything(rule: RoutingRule) -> bool:
    return not (rule.channel or rule.business_address or rule.keyword or rule.language or rule.hint)
