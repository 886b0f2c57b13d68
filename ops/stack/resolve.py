"""Which servers to use: those the environment gives, else containers, else local processes."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from ops.stack.addresses import Addresses, Given, given
from ops.stack.errors import StackError
from ops.stack.kinds import ServerName, Standing, Tell, quietly
from ops.stack.project import EitherServer, stack_of
from ops.stack.stack import KINDS, Stack


def ensure_up(tell: Tell = quietly, environment: Mapping[str, str] = os.environ) -> Addresses:
    """Return three servers that answer, starting our own for those that the environment does not give.

    Raises StackError with one line that says what is missing and how to get it. Servers started here go on
    running; `tell` hears of what takes long.
    """
    found = _found(tuple(KINDS), tell, environment)
    return Addresses(
        kafka=found["kafka"].address,
        database_url=found["postgres"].address,
        redis_url=found["redis"].address,
        chosen=tuple(found[name].chosen for name in KINDS),
    )


def address_of(name: ServerName, tell: Tell = quietly, environment: Mapping[str, str] = os.environ) -> str:
    """Return one server that answers, as `ensure_up` would; the others are neither asked nor started."""
    return _found((name,), tell, environment)[name].address


def _found(
    names: Collection[ServerName], tell: Tell, environment: Mapping[str, str]
) -> dict[ServerName, Given | Standing]:
    found: dict[ServerName, Given | Standing] = {
        name: server for name in names if (server := given(KINDS[name], environment))
    }
    ours = [name for name in names if name not in found]
    if ours:
        _refuse_outside_a_checkout(ours, environment)
        found |= project_stack(tell, environment).start(ours)
    return found


def _refuse_outside_a_checkout(names: Collection[ServerName], environment: Mapping[str, str]) -> None:
    """A forgotten setting of an installed program, in a container above all, starts no server beside it."""
    if (_project() / "pyproject.toml").exists() or environment.get("CHATDESK_LOCAL"):
        return
    variables = " and ".join(KINDS[name].variable for name in names)
    raise StackError(
        f"{variables} must be set: without, servers are started for a checkout of the source only"
    )


def project_stack(tell: Tell = quietly, environment: Mapping[str, str] = os.environ) -> Stack[EitherServer]:
    """Return the stack of this checkout, in `.local/stack`; CHATDESK_LOCAL stands in for `.local`."""
    local = environment.get("CHATDESK_LOCAL")
    return stack_of((Path(local) if local else _project() / ".local") / "stack", tell, environment)


def _project() -> Path:
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "pyproject.toml").exists() else Path.cwd()
