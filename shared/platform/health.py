"""`/healthz`, `/readyz` and `/metrics` of every service."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from faststream.asgi import AsgiResponse, get
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

Check = Callable[[], Awaitable[dict[str, bool | str]]]
"""What was checked, by name: whether it is good, or why it is not."""


def routes(alive: Check, ready: Check) -> list[tuple[str, Any]]:
    """Return the routes: liveness is about this process alone, readiness about what it stands on."""

    @get(include_in_schema=False)
    async def healthz(_scope: Any) -> AsgiResponse:
        return _answer(await alive())

    @get(include_in_schema=False)
    async def readyz(_scope: Any) -> AsgiResponse:
        return _answer(await ready())

    @get(include_in_schema=False)
    async def exposition(_scope: Any) -> AsgiResponse:
        return AsgiResponse(generate_latest(), 200, headers={"content-type": CONTENT_TYPE_LATEST})

    return [("/healthz", healthz), ("/readyz", readyz), ("/metrics", exposition)]


def _answer(found: dict[str, bool | str]) -> AsgiResponse:
    checks = {name: one is True for name, one in found.items()}
    good = all(checks.values())
    reasons = {name: one for name, one in found.items() if isinstance(one, str)}
    told = {"status": "ok" if good else "failing", "checks": checks} | (
        {"reasons": reasons} if reasons else {}
    )
    body = json.dumps(told).encode()
    return AsgiResponse(body, 200 if good else 503, headers={"content-type": "application/json"})
