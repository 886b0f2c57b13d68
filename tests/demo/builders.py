"""Scenes and pictures of a small centre, or of one as full as a demo can be."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from ops.checker.history import Record
from ops.demo.figures import Latency
from ops.demo.picture import Agent, Department, Moment, Picture, Waiting, paint
from ops.demo.scene import Scene
from shared.contracts import directory
from tests.checker.builders import NOON, Past, a_day


def records_of(past: Past) -> list[Record]:
    """Return what was told, in the order of time."""
    records = (record for topic in past.records.values() for record in topic)
    return sorted(records, key=lambda record: record.written_at)


def a_scene(past: Past | Iterable[Record]) -> Scene:
    """Return the scene of who heard all of it."""
    scene = Scene()
    for record in records_of(past) if isinstance(past, Past) else past:
        if record.event is not None:
            scene.hear(record.event, record.written_at)
    return scene


def a_sales_department() -> Past:
    """A past in which sales is open, and Ann and Ben are there."""
    past = Past()
    past.say(directory.DepartmentDocument(id="sales", revision=1, name="Sales"), "desk")
    past.open_for_business()
    return past


def a_busy_day() -> Past:
    """A day on which everything happens once, with its department's document."""
    past = a_day()
    past.say(directory.DepartmentDocument(id="sales", revision=1, name="Sales"), "desk")
    return past


def a_moment(now: datetime = NOON, **moment: Any) -> Moment:
    return Moment(
        **{
            "now": now,
            "seconds": 10.5,
            "duration": 60.0,
            "phase": "traffic",
            "written": {8: 40, 9: 50, 10: 7},
            "lags": {"routing": 0.2, "outbound": 0.4},
            **moment,
        }
    )


def a_picture(past: Past | None = None, **moment: Any) -> Picture:
    """Return the picture of a past, of a busy day if nothing else is said."""
    told = past or a_busy_day()
    return paint(a_scene(told), a_moment(told.now, **moment))


def a_full_picture() -> Picture:
    """Return a picture with figures as wide, and lists as long, as a long run makes them."""
    states = ("online", "draining", "away", "offline")
    return Picture(
        moment=a_moment(
            seconds=3599.0, duration=3600.0, lags=dict.fromkeys(("desk", "presence", "routing"), 99.9)
        ),
        messages=99_999,
        rates=tuple(range(40)),
        departments=tuple(
            Department(name, 1234, 99.9, 12, 14, 99, 100, 9999, None)
            for name in ("Complaints and Returns", "Sales", "Support")
        ),
        agents=tuple(
            Agent(f"Wilhelmina-{number}", ("sales",), states[number % 4], 2, 3 + number)
            for number in range(20)
        ),
        chats=tuple((state, 99_999) for state in ("queued", "assigned", "pending", "diverted", "closed")),
        open_tickets=(("outside_business_hours", 9999), ("no_agents_online", 99)),
        closed_tickets=(("superseded_by_chat", 9999), ("done", 9)),
        deliveries=tuple((word, 9_999) for word in ("accepted", "sent", "delivered", "read", "in_doubt")),
        refusals=tuple(("send", f"a_reason_of_some_length_{number}", 999) for number in range(12)),
        latency=Latency(999, 10_000, 30_000),
        longest=tuple(Waiting("+27…01", "Complaints and Returns", 99.9) for _ in range(20)),
    )


def later(past: Past, seconds: float) -> datetime:
    """Return a moment after a past."""
    return past.now + timedelta(seconds=seconds)
