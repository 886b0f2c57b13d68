"""WhatsApp Cloud API: one call per message, errors told apart by their code alone."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, assert_never

import aiohttp

from services.outbound.model import Accepted, CallOutcome, DeclineClass, Declined, InDoubt, Message
from shared.contracts.content import (
    Contacts,
    Content,
    Interactive,
    Location,
    Media,
    Order,
    Reaction,
    Reply,
    Template,
    Text,
    Unsupported,
)
from shared.contracts.provider_events import Receipt

NAME: Final = "whatsapp_cloud"
GRAPH: Final = "https://graph.facebook.com"
CONNECT_SECONDS = 3.0
KEEP_ALIVE_SECONDS = 15.0
"""Shorter than servers keep idle connections, so that a call rarely meets one that just closed."""
LONGEST_DETAIL = 2_000

_Meaning = tuple[DeclineClass, str]

IN_DOUBT_CODES: Final = frozenset({"1", "131000"})
"""Codes with which the provider itself says that something went wrong, not what became of the message."""

MEANINGS: Final[Mapping[str, _Meaning]] = {
    "2": (DeclineClass.RETRY, "provider_busy"),
    "4": (DeclineClass.RETRY, "provider_busy"),
    "80007": (DeclineClass.RETRY, "provider_busy"),
    "131016": (DeclineClass.RETRY, "provider_busy"),
    "131057": (DeclineClass.RETRY, "provider_busy"),
    "132069": (DeclineClass.RETRY, "provider_busy"),
    "133004": (DeclineClass.RETRY, "provider_busy"),
    "130429": (DeclineClass.SLOW_SENDER, "rate_limited"),
    "131048": (DeclineClass.SLOW_SENDER, "spam_rate_limited"),
    "131056": (DeclineClass.RETRY_PAIR, "pair_rate_limited"),
    "0": (DeclineClass.HALT_SENDER, "access_refused"),
    "3": (DeclineClass.HALT_SENDER, "access_refused"),
    "10": (DeclineClass.HALT_SENDER, "access_refused"),
    "190": (DeclineClass.HALT_SENDER, "access_refused"),
    **{str(code): (DeclineClass.HALT_SENDER, "permission_refused") for code in range(200, 300)},
    "368": (DeclineClass.HALT_SENDER, "account_blocked"),
    "131031": (DeclineClass.HALT_SENDER, "account_locked"),
    "131042": (DeclineClass.HALT_SENDER, "payment_problem"),
    "131045": (DeclineClass.HALT_SENDER, "sender_not_registered"),
    "130497": (DeclineClass.HALT_SENDER, "country_not_allowed"),
    "131047": (DeclineClass.WINDOW_CLOSED, "window_closed"),
    "131049": (DeclineClass.NOT_BEFORE_A_DAY, "marketing_limited"),
    "132015": (DeclineClass.TEMPLATE, "template_paused"),
    "132016": (DeclineClass.TEMPLATE, "template_disabled"),
    "33": (DeclineClass.PERMANENT, "invalid_content"),
    "100": (DeclineClass.PERMANENT, "invalid_content"),
    "131008": (DeclineClass.PERMANENT, "invalid_content"),
    "131009": (DeclineClass.PERMANENT, "invalid_content"),
    "131062": (DeclineClass.PERMANENT, "invalid_content"),
    "131021": (DeclineClass.PERMANENT, "invalid_recipient"),
    "131030": (DeclineClass.PERMANENT, "recipient_not_allowed"),
    "131026": (DeclineClass.PERMANENT, "undeliverable"),
    "131051": (DeclineClass.PERMANENT, "unsupported_content"),
    "131053": (DeclineClass.PERMANENT, "media_rejected"),
    "130472": (DeclineClass.PERMANENT, "experiment"),
    "131050": (DeclineClass.PERMANENT, "marketing_opted_out"),
    "132000": (DeclineClass.PERMANENT, "template_params_mismatch"),
    "132012": (DeclineClass.PERMANENT, "template_params_mismatch"),
    "132001": (DeclineClass.PERMANENT, "template_not_found"),
    "132005": (DeclineClass.PERMANENT, "template_rejected"),
    "132007": (DeclineClass.PERMANENT, "template_rejected"),
    "132008": (DeclineClass.PERMANENT, "template_rejected"),
    "132068": (DeclineClass.PERMANENT, "template_rejected"),
}
_UNKNOWN_CODE: Final = (DeclineClass.PERMANENT, "provider_rejected")
_TOO_MANY_REQUESTS, _SERVER_ERROR = 429, 500


def classify(code: str | None, http_status: int | None = None) -> _Meaning | None:
    """Say what a refusal means; None when it leaves in doubt whether the message is on its way.

    The code decides, never the HTTP status. Without a code we know, the status tells only whether
    the request was turned away (4xx) or may have been taken (5xx).
    """
    if code is not None and (known := MEANINGS.get(code)) is not None:
        return known
    if code in IN_DOUBT_CODES or (http_status is not None and http_status >= _SERVER_ERROR):
        return None
    if code is None and http_status == _TOO_MANY_REQUESTS:
        return DeclineClass.SLOW_SENDER, "rate_limited"
    return _UNKNOWN_CODE


def read_failure(receipt: Receipt) -> Declined | None:
    """Say what the code of a ``failed`` receipt means. The message is lost, even where a call is in doubt."""
    if receipt.code is None:
        return None
    decline, reason = classify(receipt.code) or _UNKNOWN_CODE
    return Declined(decline, reason, receipt.code, receipt.detail)


def translate(message: Message) -> dict[str, Any]:
    """Return the request body. Raises ValueError for content that only customers send."""
    request = message.send.request
    address = request.customer_address.strip().removeprefix("whatsapp:").strip()
    is_number = message.send.pair.customer_address.startswith("+")
    body: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to" if is_number else "recipient": address,
        "biz_opaque_callback_data": message.send.ref.correlation_id,
        **_content(message.content),
    }
    if request.reply_to is not None:
        body["context"] = {"message_id": request.reply_to}
    return body


def _content(content: Content) -> dict[str, Any]:
    match content:
        case Text():
            said: dict[str, Any] = {"body": content.text, "preview_url": False}
        case Media():
            said = _media(content)
        case Location() | Reaction():
            said = content.model_dump(exclude={"kind", "to"}, exclude_none=True)
            if isinstance(content, Reaction):
                said = {"message_id": content.to, "emoji": content.emoji or ""}
        case Contacts():
            return {"type": "contacts", "contacts": list(content.contacts)}
        case Interactive():
            said = _interactive(content)
        case Template():
            language = {"code": content.language, "policy": "deterministic"}
            said = {"name": content.name, "language": language, "components": list(content.components)}
        case Reply() | Order() | Unsupported():
            raise ValueError(f"{content.kind} is something only customers send")
        case _:
            assert_never(content)
    return {"type": content.kind, content.kind: said}


def _media(content: Media) -> dict[str, Any]:
    file = content.media
    said: dict[str, Any] = {"id": file.id} if file.id is not None else {"link": file.url}
    if content.caption is not None and content.kind not in {"audio", "sticker"}:
        said["caption"] = content.caption
    if file.filename is not None and content.kind == "document":
        said["filename"] = file.filename
    return said


def _interactive(content: Interactive) -> dict[str, Any]:
    said: dict[str, Any] = {"type": content.type, "body": {"text": content.body}, "action": content.action}
    if content.header is not None:
        said["header"] = content.header
    if content.footer is not None:
        said["footer"] = {"text": content.footer}
    return said


def read_answer(status: int, headers: Mapping[str, str], raw: bytes) -> CallOutcome:
    """Translate the provider's answer. Never raises: what cannot be read leaves the message in doubt."""
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = None
    answer = answer if isinstance(answer, dict) else {}
    if (message_id := _message_id(answer)) is not None:
        return Accepted(message_id)
    error = answer.get("error")
    error = error if isinstance(error, dict) else {}
    code = error.get("code")
    code = str(code) if isinstance(code, int | str) else None
    if code is None and status < 300:  # noqa: PLR2004 - any success
        return InDoubt("unreadable_answer")
    meaning = classify(code, status)
    if meaning is None:
        return InDoubt(f"provider_error_{code or status}")
    detail = _detail(error) or raw[:LONGEST_DETAIL].decode(errors="replace") or None
    return Declined(*meaning, code or str(status), detail, _retry_after(headers))


def _message_id(answer: dict[str, Any]) -> str | None:
    messages = answer.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else None
    message_id = first.get("id") if isinstance(first, dict) else None
    return message_id if isinstance(message_id, str) and message_id else None


def _detail(error: Mapping[str, Any]) -> str | None:
    specific = error.get("error_data")
    details = specific.get("details") if isinstance(specific, dict) else None
    said = details or error.get("message")
    return said[:LONGEST_DETAIL] if isinstance(said, str) and said else None


def _retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Read a pause in whole seconds, up to a day or so; the other form, a date, is not used here."""
    seconds = re.fullmatch(r"[0-9]{1,5}", headers.get("Retry-After", ""))
    return None if seconds is None else timedelta(seconds=int(seconds[0]))


class WhatsAppCloud:
    """Calls the Cloud API over connections that are kept alive."""

    def __init__(self, secrets: Callable[[str], str | None], api_version: int) -> None:
        self._secrets = secrets
        self._api_version = api_version
        self._session: aiohttp.ClientSession | None = None

    async def send(self, message: Message, *, deadline_seconds: float) -> CallOutcome:
        """Put one message before the provider, once. Never raises for what a network or provider does."""
        token = self._secrets(message.line.secret_ref)
        if not token:
            detail = f"no secret named {message.line.secret_ref} is set"
            return Declined(DeclineClass.HALT_SENDER, "secret_missing", None, detail)
        try:
            body = translate(message)
        except ValueError as error:
            return Declined(DeclineClass.PERMANENT, "invalid_content", None, str(error))
        return await self._call(message, token, body, deadline_seconds)

    async def _call(
        self, message: Message, token: str, body: dict[str, Any], deadline_seconds: float
    ) -> CallOutcome:
        base = (message.line.base_url or GRAPH).rstrip("/")
        url = f"{base}/v{self._api_version}.0/{message.line.provider_account}/messages"
        try:
            async with self._opened().post(
                url,
                json=body,
                headers={"Authorization": f"Bearer {token}"},
                timeout=aiohttp.ClientTimeout(total=deadline_seconds, sock_connect=CONNECT_SECONDS),
                allow_redirects=False,
            ) as answer:
                return read_answer(answer.status, answer.headers, await answer.read())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # Refused, no such host, no TLS: the request was never written.
            return Declined(DeclineClass.RETRY, "provider_unreachable", None, str(error)[:LONGEST_DETAIL])
        except aiohttp.InvalidURL:
            return Declined(DeclineClass.HALT_SENDER, "invalid_base_url", None, f"{url!r} is no address")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return InDoubt(f"call_cut_{type(error).__name__}"[:64])

    async def close(self) -> None:
        """Close idle connections; the next call opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        """Return the session, opened at the first call because it belongs to the running loop."""
        if self._session is None:
            # Calls are bounded per sender before they come here; a limit on connections would only
            # put a wait between the last look at the window and the write.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session
