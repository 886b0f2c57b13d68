"""A tenant's documents as the tests of the desk speak of them: every default is valid."""

from typing import Any

from services.desk.model import DocumentKey, Stored
from shared.contracts.directory import (
    AgentDocument,
    CalendarDocument,
    ChannelDocument,
    DepartmentDocument,
    DirectoryDocument,
    RoutingRulesDocument,
    TemplateDocument,
    TenantDocument,
)

TENANT = "acme"


def a_tenant(name: str = TENANT, /, *, first_line: str = "service", **fields: Any) -> TenantDocument:
    return TenantDocument(id=name, revision=0, name="Acme", first_line_department=first_line, **fields)


def a_department(name: str = "service", /, **fields: Any) -> DepartmentDocument:
    return DepartmentDocument(**{"id": name, "revision": 0, "name": name.title(), **fields})


def an_agent(name: str = "ada", /, **fields: Any) -> AgentDocument:
    return AgentDocument(
        **{
            "id": name,
            "revision": 0,
            "name": name.title(),
            "departments": ["service"],
            "capacity": 3,
            **fields,
        }
    )


def a_calendar(name: str = "office", /, **fields: Any) -> CalendarDocument:
    return CalendarDocument(**{"id": name, "revision": 0, "time_zone": "Europe/Berlin", "week": {}, **fields})


def a_channel(name: str = "main", /, *, address: str = "+4930111", **fields: Any) -> ChannelDocument:
    return ChannelDocument(
        **{
            "id": name,
            "revision": 0,
            "channel": "whatsapp",
            "provider": "whatsapp_cloud",
            "business_address": address,
            "secret_ref": "TOKEN",
            **fields,
        }
    )


def a_template(name: str = "hello-en", /, **fields: Any) -> TemplateDocument:
    return TemplateDocument(
        **{
            "id": name,
            "revision": 0,
            "name": "hello",
            "language": "en",
            "category": "utility",
            "state": "approved",
            **fields,
        }
    )


def rules(*found: dict[str, str]) -> RoutingRulesDocument:
    return RoutingRulesDocument.model_validate({"id": "default", "revision": 0, "rules": list(found)})


def at_revision(document: DirectoryDocument, revision: int) -> DirectoryDocument:
    return document.model_copy(update={"revision": revision})


def stored(*documents: DirectoryDocument, tenant: str = TENANT, echoed: int = 0) -> dict[DocumentKey, Stored]:
    return {DocumentKey.of(tenant, document): Stored(document, echoed) for document in documents}
