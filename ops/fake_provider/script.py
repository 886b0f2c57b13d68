"""What the fake provider answers: told per recipient, else drawn with a seed."""

import hashlib
from collections.abc import Iterable
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Accept(_Told):
    """Take the message. ``delay`` seconds pass before the answer; ``failed_later`` is a code by receipt.

    With ``receipts_first`` the ``sent`` receipt goes out before the answer does.
    """

    kind: Literal["accept"] = "accept"
    delay: float = 0.0
    failed_later: str | None = None
    receipts_first: bool = False


class Fail(_Told):
    """Refuse it with an error code, e.g. 130429, 131056, 131026, 131047, 190."""

    kind: Literal["fail"] = "fail"
    code: int
    status: int = 400
    retry_after: int | None = None
    details: str = "scripted"


class ServerFault(_Told):
    """Answer 5xx without a code, after having taken the message or not."""

    kind: Literal["server_fault"] = "server_fault"
    accepted: bool
    status: int = 500


class Cut(_Told):
    """Cut the connection in the middle of the answer, after having taken the message or not."""

    kind: Literal["cut"] = "cut"
    accepted: bool


class Hang(_Told):
    """Say nothing for so many seconds, after having taken the message or not; then fail with 503."""

    kind: Literal["hang"] = "hang"
    accepted: bool
    seconds: float = 60.0


Answer: TypeAlias = Annotated[Accept | Fail | ServerFault | Cut | Hang, Field(discriminator="kind")]


class Maybe(_Told):
    """An answer that is given with a probability."""

    probability: Annotated[float, Field(ge=0, le=1)]
    answer: Answer


class Script(_Told):
    """What to answer.

    ``recipients`` lists, by number with its plus, the answers to that recipient's requests in turn;
    when they are used up, or for everybody else, ``chances`` are drawn; else the message is taken.
    """

    seed: int = 0
    chances: tuple[Maybe, ...] = ()
    recipients: dict[str, tuple[Answer, ...]] = Field(default_factory=dict)

    def answer(self, recipient: str, nth: int, draw: float) -> Answer:
        """Return the answer to a recipient's nth request (from 0), given a draw from 0 to 1."""
        told = self.recipients.get(recipient, ())
        if nth < len(told):
            return told[nth]
        for maybe in self.chances:
            if draw < maybe.probability:
                return maybe.answer
            draw -= maybe.probability
        return Accept()


def chance(seed: int, *parts: str | int) -> float:
    """Return a number from 0 to 1 that these parts always give, whatever the order of events."""
    return int.from_bytes(_hash(seed, parts)[:8], "big") / 2**64


def token(seed: int, *parts: str | int) -> str:
    """Return 24 hexadecimal digits that these parts always give."""
    return _hash(seed, parts).hex()[:24]


def _hash(seed: int, parts: Iterable[str | int]) -> bytes:
    return hashlib.sha256("\x1f".join(map(str, (seed, *parts))).encode()).digest()
