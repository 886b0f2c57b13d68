"""The pair: (tenant, channel, business address, customer address), the unit of order and of the window."""

import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote, unquote

from shared.contracts.errors import Rejected

_PARTS = 4
_PLAIN_NUMBER = re.compile(r"\+[0-9]+").fullmatch
_CANONICAL_KEY = re.compile(r"[A-Za-z0-9_.~+@-]+:[a-z]+:\+[0-9]+:\+[0-9]+").fullmatch
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.~+@-]*(?::[A-Za-z0-9_.~+@-]*){3}").fullmatch


def canonical_address(raw: str) -> str:
    """Return the address used in keys: no scheme, no separators, international numbers with a plus.

    The raw address stays the one that is replied to (docs/contracts.md, 2).
    """
    if _PLAIN_NUMBER(raw):
        return raw
    address = raw.strip()
    if address.startswith("whatsapp:"):
        address = address.removeprefix("whatsapp:").strip()
    number = address.replace(" ", "").replace("-", "").replace("(", "").replace(")", "")
    if number.removeprefix("+").isdecimal():
        return "+" + number.removeprefix("+")
    return address


@dataclass(frozen=True, order=True)
class Pair:
    """One customer's address at one of our business addresses. ``customer_address`` is canonical."""

    tenant_id: str
    channel: str
    business_address: str
    customer_address: str

    @classmethod
    def of(cls, tenant_id: str, channel: str, business_address: str, customer_address: str) -> "Pair":
        """Build the pair of raw addresses as a provider or publisher wrote them."""
        return cls(
            tenant_id, channel, canonical_address(business_address), canonical_address(customer_address)
        )

    @cached_property
    def key(self) -> str:
        """The percent-encoded identity: ``tenant:channel:business_address:customer_address``."""
        parts = (self.tenant_id, self.channel, self.business_address, self.customer_address)
        if _PLAIN_KEY(key := ":".join(parts)):
            return key
        return ":".join([quote(part, safe="+@.-_") for part in parts])

    @classmethod
    def parse(cls, key: str) -> "Pair":
        """Read a key back. Raises Rejected when it is none."""
        try:
            parts = [unquote(part, errors="strict") for part in key.split(":")]
        except UnicodeDecodeError:
            parts = []
        if len(parts) != _PARTS or not all(parts) or any("\x00" in part for part in parts):
            raise Rejected("invalid_pair_key", "a pair key has four non-empty, percent-encoded parts")
        return cls(*parts)


def pair_key(tenant_id: str, channel: str, business_address: str, customer_address: str) -> str:
    """Return ``Pair.of(…).key``, at once where the addresses are canonical already, as most are."""
    if _CANONICAL_KEY(key := f"{tenant_id}:{channel}:{business_address}:{customer_address}"):
        return key
    return Pair.of(tenant_id, channel, business_address, customer_address).key
