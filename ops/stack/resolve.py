"""Which servers to use: those the environment gives, else local ones."""

import os
from collections.abc import Mapping
from pathlib import Path

from ops.stack.addresses import Addresses, Given, given
from ops.stack.kinds import ServerName, Tell
from ops.stack.local import KINDS, LocalStack, Standing, quietly


def ensure_up(tell: Tell = quietly, environment: Mapping[str, str] = os.environ) -> Addresses:
    """Return three servers that answer, starting local ones for those that the environment does not give.

    Raises StackError with one line that says what is missing and how to get it. Servers started here go on
    running; `tell` hears of what takes long.
    """
    found: dict[ServerName, Given | Standing] = {
        name: server for name, kind in KINDS.items() if (server := given(kind, environment))
    }
    # A Docker engine that answers will come before local servers here.
    local = [name for name in KINDS if name not in found]
    if local:
        found |= project_stack(tell, environment).start(local)
    return Addresses(
        kafka=found["kafka"].address,
        database_url=found["postgres"].address,
        redis_url=found["redis"].address,
        chosen=tuple(found[name].chosen for name in KINDS),
    )


def project_stack(tell: Tell = quietly, environment: Mapping[str, str] = os.environ) -> LocalStack:
    """Return the stack of this checkout, in `.local/stack`; CHATDESK_LOCAL stands in for `.local`."""
    local = environment.get("CHATDESK_LOCAL")
    return LocalStack((Path(local) if local else _project() / ".local") / "stack", tell)


def _project() -> Path:
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "pyproject.toml").exists() else Path.cwd()
