"""When somebody counts as idle: every session that tells of input has told of none for too long."""

from dataclasses import replace
from datetime import datetime, timedelta

from services.presence.decisions.absence import as_declared
from services.presence.model import Declared, Standing, Terms


def felt(quiet: timedelta | None, now: datetime) -> datetime | None:
    """Return when input was last felt; None where a session does not tell."""
    return None if quiet is None else now - quiet


def notice(standing: Standing, input_at: datetime | None, terms: Terms, now: datetime) -> Standing:
    """Note when a session last had input: the newest of all counts.

    Nobody becomes idle before every session had a lease's time to be heard (docs/rules.md, 2); where no
    session ever told of input, nobody is idle.
    """
    if input_at is None:
        return standing
    newest = max(input_at, standing.last_input or input_at)
    idle = now - newest >= timedelta(seconds=terms.idle_seconds)
    if idle and not standing.agent.idle and standing.judged_from > now:
        idle = False
    return _with(standing, newest, idle=idle)


def rouse(standing: Standing, now: datetime) -> Standing:
    """Note that somebody did something, or was spoken for: whoever is watched is not idle from now on."""
    if standing.last_input is None and not standing.agent.idle:
        return standing
    return _with(standing, now, idle=False)


def _with(standing: Standing, last_input: datetime, *, idle: bool) -> Standing:
    agent = standing.agent
    if agent.idle != idle:
        agent = as_declared(replace(agent, idle=idle), agent.declared or Declared())
    return replace(standing, agent=agent, last_input=last_input)
