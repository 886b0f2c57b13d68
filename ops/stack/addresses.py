"""Where the three servers are."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ops.stack.errors import StackError
from ops.stack.kinds import Kind


@dataclass(frozen=True)
class Addresses:
    """The servers to use, and one line each on what was chosen and why."""

    kafka: str
    database_url: str
    redis_url: str
    chosen: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        """Return the variables that hand these servers to every program of this project."""
        return {
            "CHATDESK_KAFKA": self.kafka,
            "CHATDESK_DATABASE_URL": self.database_url,
            "CHATDESK_REDIS_URL": self.redis_url,
        }


@dataclass(frozen=True)
class Given:
    """A server that the environment gives."""

    address: str
    chosen: str


def given(kind: Kind, environment: Mapping[str, str]) -> Given | None:
    """Return the server that the environment gives, if any; StackError if nothing answers there."""
    address = environment.get(kind.variable)
    if not address:
        return None
    shown = _without_password(address)
    if silence := kind.silence(address):
        raise StackError(f"{kind.variable}={shown} does not answer: {silence}")
    return Given(address, f"{kind.product} at {shown} (given by {kind.variable})")


def _without_password(address: str) -> str:
    password = urlsplit(address).password if "://" in address else None
    return address.replace(f":{password}@", ":***@") if password else address
