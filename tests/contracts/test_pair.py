from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.contracts.errors import Rejected
from shared.contracts.pair import Pair, canonical_address, pair_key

_PARTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)
_ADDRESSES = _PARTS | st.from_regex(r"(whatsapp:)?\+?[0-9() -]{1,15}", fullmatch=True)
_patient = settings(deadline=None)


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("+27820000001", "+27820000001"),
        ("27820000001", "+27820000001"),
        ("whatsapp:+27 82 000-0001", "+27820000001"),
        (" (082) 000 0001 ", "+0820000001"),
        ("US.13491208655302741918", "US.13491208655302741918"),
        ("ACME-CARE", "ACME-CARE"),
    ],
)
def test_the_canonical_address_of(raw: str, canonical: str) -> None:
    assert canonical_address(raw) == canonical


@_patient
@given(_PARTS, st.sampled_from(["whatsapp", "sms"]), _ADDRESSES, _ADDRESSES)
@example("a shop", "sms", "ACME", "+27820000001")
@example("a:shop", "sms", "+27110000000", "+27820000001")
def test_the_key_is_the_canonical_parts_percent_encoded_however_it_is_built(
    tenant_id: str, channel: str, business_address: str, customer_address: str
) -> None:
    key = pair_key(tenant_id, channel, business_address, customer_address)

    parts = (tenant_id, channel, canonical_address(business_address), canonical_address(customer_address))
    assert key == ":".join(quote(part, safe="+@.-_") for part in parts)
    assert key == Pair.of(tenant_id, channel, business_address, customer_address).key


@_patient
@given(_PARTS, _PARTS, _PARTS, _PARTS)
def test_a_key_read_back_is_the_pair(
    tenant_id: str, channel: str, business_address: str, customer_address: str
) -> None:
    pair = Pair(tenant_id, channel, business_address, customer_address)

    assert Pair.parse(pair.key) == pair


@_patient
@given(_ADDRESSES)
def test_a_canonical_address_stays_as_it_is(raw: str) -> None:
    assert canonical_address(canonical_address(raw)) == canonical_address(raw)


@pytest.mark.parametrize("key", ["", "a:b:c", "a:b:c:d:e", "a::c:d", "a:b:c:", "a:b:c:%ff", "a:b:c:%00"])
def test_what_is_no_key_is_rejected(key: str) -> None:
    with pytest.raises(Rejected, match="invalid_pair_key"):
        Pair.parse(key)
