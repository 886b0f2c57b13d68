"""A tenant's documents as the text of a tenant file, which reads back as the same documents."""

import re
from collections.abc import Iterable
from typing import Any

import yaml

from ops.tenant_schema import LISTS, RULES, TENANT
from shared.contracts.directory import DirectoryDocument, RoutingRulesDocument, TenantDocument

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./+ -]*").fullmatch
_WORDS = frozenset({"null", "true", "false"})


class _Dumper(yaml.SafeDumper):
    """Quotes whatever a reader of any version of YAML could take for something other than text."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    is_plain = _PLAIN(text) and text == text.strip() and text.lower() not in _WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else '"')


_Dumper.add_representer(str, _text)


def text_of(tenant_id: str, documents: Iterable[tuple[str, DirectoryDocument]]) -> str:
    """Return the file that says these documents; each comes with its kind.

    Fields that are at their defaults are left out, so that the file says what somebody chose.
    """
    found = sorted(documents, key=lambda one: one[1].id)
    lists = {kind: [_fields(one) for word, one in found if word == kind] for kind in LISTS.values()}
    tenants = [_fields(one) for _, one in found if isinstance(one, TenantDocument)]
    rules = [_fields(one).get("rules", []) for _, one in found if isinstance(one, RoutingRulesDocument)]
    parts = [
        f"# The documents of {tenant_id}. Change it, look with `chatdesk directory plan`, then apply it.\n"
    ]
    parts += [_block(TENANT, one) for one in tenants]
    parts += [_block(section, lists[kind]) for section, kind in LISTS.items() if lists[kind]]
    parts += [_block(RULES, one) for one in rules]
    return "\n".join(parts)


def _fields(document: DirectoryDocument) -> dict[str, Any]:
    return document.model_dump(mode="json", by_alias=True, exclude={"revision"}, exclude_defaults=True)


def _block(section: str, content: Any) -> str:
    options: dict[str, Any] = {
        "sort_keys": False,
        "allow_unicode": True,
        "width": 10_000,
        "default_flow_style": None,
    }
    return str(yaml.dump({section: content}, Dumper=_Dumper, **options))
