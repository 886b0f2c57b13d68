"""The fake provider as an ASGI application."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, TypeAlias, assert_never

from pydantic import ValidationError

from ops.fake_provider.receipts import Planned, ProviderReceipt, ReceiptHabits, plan
from ops.fake_provider.records import Call, Log
from ops.fake_provider.script import Accept, Answer, Cut, Fail, Hang, Script, ServerFault, chance, token
from shared.platform.clock import Clock, SystemClock

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Tell: TypeAlias = Callable[[ProviderReceipt], Awaitable[None]]

SEND_PATH = re.compile(r"/v[0-9]+\.0/([^/]+)/messages")
INVALID_PARAMETER, INVALID_TOKEN = 100, 190


class FakeProvider:
    """Speaks ``POST /v{N}.0/{account}/messages``; ``GET /log`` and ``PUT /script`` are for its operator.

    ``tell`` hears every receipt. ``secret`` is the only bearer token it takes; None takes any.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        tell: Tell | None = None,
        habits: ReceiptHabits | None = None,
        log_path: Path | None = None,
        secret: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.script = script or Script()
        self.log = Log(log_path)
        self._tell = tell
        self._habits = habits or ReceiptHabits()
        self._secret = secret
        self._clock = clock or SystemClock()
        self._requests: Counter[str] = Counter()
        self._receipts_due: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or the server's start and stop."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            return
        body = await _read(receive)
        route = (scope["method"], scope["path"])
        sent_to = SEND_PATH.fullmatch(scope["path"])
        if scope["method"] == "POST" and sent_to is not None:
            await self._message(sent_to[1], dict(scope["headers"]), body, send)
        elif route == ("GET", "/log"):
            await _answer(send, 200, [call.model_dump(mode="json") for call in self.log.calls])
        elif route == ("GET", "/receipts"):
            await _answer(send, 200, [receipt.model_dump(mode="json") for receipt in self.log.receipts])
        elif route == ("PUT", "/script"):
            await self._learn(body, send)
        else:
            await _answer(send, 404, {"error": "no such route"})

    async def receipts_sent(self) -> None:
        """Wait until every receipt that is due by now or later has gone out."""
        while self._receipts_due:
            await asyncio.wait(list(self._receipts_due))

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                for task in self._receipts_due:
                    task.cancel()
                self.log.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _learn(self, body: bytes, send: Send) -> None:
        try:
            self.script = Script.model_validate_json(body)
        except ValidationError as error:
            await _answer(send, 400, {"error": str(error)})
        else:
            await _answer(send, 200, {"success": True})

    async def _message(self, account: str, headers: dict[bytes, bytes], raw: bytes, send: Send) -> None:
        at = self._clock.now()
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        recipient = _recipient(body) if isinstance(body, dict) else None
        if recipient is None or not isinstance(body.get("type"), str) or body["type"] not in body:
            await _answer(send, 400, _error(Fail(code=INVALID_PARAMETER, details="invalid message")))
            return
        answer = self._choose(recipient, headers, body)
        accepted = isinstance(answer, Accept) or (not isinstance(answer, Fail) and answer.accepted)
        number = len(self.log.calls)
        named = token(self.script.seed, number, recipient, str(body.get("biz_opaque_callback_data")))
        wamid = f"wamid.{named}" if accepted else None
        call = Call(
            number=number,
            at=at,
            account=account,
            recipient=recipient,
            kind=body["type"],
            correlation_id=body.get("biz_opaque_callback_data"),
            answer=answer.kind,
            code=answer.code if isinstance(answer, Fail) else None,
            accepted=accepted,
            wamid=wamid,
            body=body,
        )
        self.log.add(call)
        if wamid is not None:
            await self._send_receipts(call, wamid, answer)
        await self._carry_out(call, answer, send)

    def _choose(self, recipient: str, headers: dict[bytes, bytes], body: dict[str, Any]) -> Answer:
        if self._secret is not None and headers.get(b"authorization") != f"Bearer {self._secret}".encode():
            return Fail(code=INVALID_TOKEN, status=401, details="the access token is invalid")
        nth = self._requests[recipient]
        self._requests[recipient] += 1
        draw = chance(self.script.seed, recipient, str(body.get("biz_opaque_callback_data")), nth)
        return self.script.answer(recipient, nth, draw)

    async def _carry_out(self, call: Call, answer: Answer, send: Send) -> None:
        match answer:
            case Accept():
                await asyncio.sleep(answer.delay)
                await _answer(send, 200, _taken(call))
            case Fail():
                wait = {} if answer.retry_after is None else {"retry-after": str(answer.retry_after)}
                await _answer(send, answer.status, _error(answer), wait)
            case ServerFault():
                await _answer(send, answer.status, {"problem": "scripted"})
            case Hang():
                await asyncio.sleep(answer.seconds)
                await _answer(send, 503, {"problem": "scripted"})
            case Cut():
                # The server closes a connection whose answer stays shorter than announced.
                await _start(send, 200, {"content-length": "99"})
                await send({"type": "http.response.body", "body": b"{", "more_body": True})
            case _:
                assert_never(answer)

    async def _send_receipts(self, call: Call, wamid: str, answer: Answer) -> None:
        accept = answer if isinstance(answer, Accept) else None
        for planned in plan(self._habits, accept, self.script.seed, wamid):
            if planned.after <= 0:
                await self._send_receipt(call, wamid, planned)
                continue
            task = asyncio.create_task(self._send_later(call, wamid, planned))
            self._receipts_due.add(task)
            task.add_done_callback(self._receipts_due.discard)

    async def _send_later(self, call: Call, wamid: str, planned: Planned) -> None:
        await asyncio.sleep(planned.after)
        await self._send_receipt(call, wamid, planned)

    async def _send_receipt(self, call: Call, wamid: str, planned: Planned) -> None:
        receipt = ProviderReceipt(
            account=call.account,
            recipient=call.recipient,
            wamid=wamid,
            correlation_id=call.correlation_id,
            status=planned.status,
            at=self._clock.now(),
            code=planned.code,
        )
        self.log.add(receipt)
        if self._tell is not None:
            await self._tell(receipt)


def _recipient(body: dict[str, Any]) -> str | None:
    """Return the number with its plus, or the user id; None when there is neither."""
    to = body.get("to") or body.get("recipient")
    if body.get("messaging_product") != "whatsapp" or not isinstance(to, str) or not to:
        return None
    return f"+{to}" if to.isdecimal() else to


def _taken(call: Call) -> dict[str, Any]:
    return {
        "messaging_product": "whatsapp",
        "contacts": [{"input": call.recipient, "wa_id": call.recipient.removeprefix("+")}],
        "messages": [{"id": call.wamid, "message_status": "accepted"}],
    }


def _error(fail: Fail) -> dict[str, Any]:
    return {
        "error": {
            "message": f"(#{fail.code}) {fail.details}",
            "type": "OAuthException",
            "code": fail.code,
            "error_data": {"messaging_product": "whatsapp", "details": fail.details},
            "fbtrace_id": "fake",
        }
    }


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _answer(send: Send, status: int, said: Any, headers: dict[str, str] | None = None) -> None:
    body = json.dumps(said).encode()
    standard = {"content-type": "application/json", "content-length": str(len(body))}
    await _start(send, status, standard | (headers or {}))
    await send({"type": "http.response.body", "body": body})


async def _start(send: Send, status: int, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
