"""What a tenant's file may say about presence, and how it is told that something else will not do."""

import pytest

from ops.tenant_file import BadFile, read_tenant_file
from shared.contracts.directory import TenantDocument

FILE = """\
tenant:
  id: acme
  name: Acme
  first_line_department: service
  {}
departments:
  - id: service
    name: Service
"""


@pytest.mark.parametrize(
    "line",
    [
        "lease_seconds: 1",
        "lease_seconds: 3600",
        "grace_seconds: 1",
        "grace_seconds: 600",
        "idle_seconds: 1",
        "idle_seconds: 86400",
        "away_reasons: []",
        "away_reasons: [lunch, on the phone]",
    ],
)
def test_what_a_tenant_may_set(line: str) -> None:
    (tenant,) = [
        one for one in read_tenant_file(FILE.format(line)).documents if isinstance(one, TenantDocument)
    ]

    name, _, _ = line.partition(":")
    assert getattr(tenant, name) is not None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("lease_seconds: 0", "lease_seconds must be a whole number from 1 to 3600, not 0"),
        ("lease_seconds: 3601", "lease_seconds must be a whole number from 1 to 3600, not 3601"),
        ("grace_seconds: 0", "grace_seconds must be a whole number from 1 to 600, not 0"),
        ("grace_seconds: 601", "grace_seconds must be a whole number from 1 to 600, not 601"),
        ("grace_seconds: 1.5", "grace_seconds must be a whole number from 1 to 600, not 1.5"),
        ("idle_seconds: 0", "idle_seconds must be a whole number from 1 to 86400, not 0"),
        ("idle_seconds: 86401", "idle_seconds must be a whole number from 1 to 86400, not 86401"),
        ("away_reasons: lunch", "away_reasons must be a list, not 'lunch'"),
        ("away_reasons: ['']", "away_reasons[0] must not be empty, not ''"),
    ],
)
def test_what_else_will_not_do_is_told_with_its_line_field_and_bounds(line: str, told: str) -> None:
    with pytest.raises(BadFile) as refused:
        read_tenant_file(FILE.format(line))

    (mistake,) = refused.value.mistakes
    assert mistake.line == 5
    assert f"{mistake.place} {mistake.message}" == f"tenant.{told}"
