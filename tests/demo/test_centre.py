from datetime import UTC, datetime

import pytest

from ops.demo.centre import BILLING, documents
from services.desk.decisions import coherence
from services.routing.decisions.calendars import is_open, next_open_at
from services.routing.store.documents import documents as as_routing_keeps_them

URL = "http://127.0.0.1:9000"


@pytest.mark.parametrize("hour", range(24))
def test_billing_is_closed_at_any_hour_of_any_day(hour: int) -> None:
    for day in range(16, 23):
        now = datetime(2026, 11, day, hour, 59, tzinfo=UTC)
        kept = as_routing_keeps_them(documents(URL, now), "demo")
        calendar = kept.calendars[kept.departments[BILLING].calendar_id or ""]
        assert not is_open(calendar, now)
        assert next_open_at(calendar, now) is not None


def test_the_desk_takes_the_directory_as_it_is() -> None:
    now = datetime(2026, 11, 18, 12, tzinfo=UTC)
    assert not list(coherence.problems("demo", documents(URL, now), [], frozenset()))
