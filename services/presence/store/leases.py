"""Leases in Redis: which sessions live, by Redis' own clock, one script call per batch and tenant.

For each tenant four kinds of key share a hash tag, so that a cluster keeps them in one place:

- ``…:since``: since when leases have been held here without having been lost, and when they were last
  seen to be; milliseconds. When it is missing, Redis is fresh or was flushed; when it was not seen for ten
  seconds, Redis may be back from an old snapshot. Nobody's absence can be judged for a while then.
- ``…:sessions:<agent>``: a sorted set of the agent's sessions by the end of their lease.
- ``…:leases``: a sorted set of the agents by the end of their longest lease.
- ``…:inputs``: a sorted set of the agents whose sessions tell of input, by the newest; -1 for who is idle.

A session is in its set only from when it was admitted under the agent's lock until it is dropped or the
agent is claimed as lost under the same lock. So a heartbeat that finds its session there changes
nothing else, and one that does not asks for the agent's row. So does one after which the agent would no
longer be idle, or would newly be, by what is known of their sessions' input.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from json import dumps
from typing import Any, Literal, assert_never
from urllib.parse import quote

from redis import exceptions

from services.presence.model import AgentKey, Leased, Renewal
from shared.platform.faults import Retryable
from shared.platform.redis_client import AnyRedis

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since, seen = (redis.call('GET', KEYS[1]) or ''):match('^(%d+) (%d+)$')
since, seen = tonumber(since), tonumber(seen)
if not since or now - seen > 10000 then since, seen = now, 0 end
if now - seen > 1000 then
  redis.call('SET', KEYS[1], string.format('%d %d', since, now))
end
"""

_SETTLE = """
local function expiry(ends) return (math.floor(ends / 600000) + 7) * 600000 end
local function settle(sessions, agent)
  local longest = redis.call('ZREVRANGE', sessions, 0, 0, 'WITHSCORES')
  if longest[1] then
    redis.call('ZADD', KEYS[2], longest[2], agent)
    redis.call('PEXPIREAT', sessions, expiry(longest[2]))
  else
    redis.call('ZREM', KEYS[2], agent)
  end
end
"""
"""An hour or a little more after its last lease a set of sessions goes by itself; by then the agent was long
claimed. It is a round time, so that most renewals need not put it off."""

_RENEW = (
    _NOW
    + _SETTLE
    + """
local idle = tonumber(ARGV[2])
local beats = cjson.decode(ARGV[1])
local agents = {}
for _, beat in ipairs(beats) do agents[beat[1]] = beat[4] end
local function known(set)
  local scores = {}
  for first = 1, #agents, 1000 do
    local last = math.min(first + 999, #agents)
    for i, score in ipairs(redis.call('ZMSCORE', set, unpack(agents, first, last))) do
      scores[first + i - 1] = score and tonumber(score)
    end
  end
  return scores
end
local function note(set, places, scores)
  local entries = {}
  for place in pairs(places) do
    entries[#entries + 1] = scores[place]
    entries[#entries + 1] = agents[place]
  end
  for first = 1, #entries, 2000 do
    redis.call('ZADD', set, unpack(entries, first, math.min(first + 1999, #entries)))
  end
end
local lapse, inputs, before = known(KEYS[2]), known(KEYS[3]), {}
local longer, unsure, felt, missing = {}, {}, {}, {}
local function settled(place, quiet)
  local input = inputs[place]
  if not input then return false end
  if input < 0 then return quiet >= idle end
  if now - quiet > input then
    if quiet >= idle then return false end
    inputs[place], felt[place] = now - quiet, true
    return true
  end
  return now - input < idle
end
for _, beat in ipairs(beats) do
  local place, session, ends = beat[1], beat[2], now + beat[3]
  local sessions = KEYS[3 + place]
  local renewed = redis.call('ZADD', sessions, 'XX', 'CH', ends, session) == 1
  if renewed or redis.call('ZSCORE', sessions, session) then
    if lapse[place] and ends >= lapse[place] then
      before[place] = before[place] or lapse[place]
      lapse[place], longer[place] = ends, true
    else
      unsure[place] = true
    end
    if beat[5] >= 0 and not settled(place, beat[5]) then missing[#missing + 1] = place end
  else
    missing[#missing + 1] = place
  end
end
note(KEYS[2], longer, lapse)
note(KEYS[3], felt, inputs)
for place in pairs(longer) do
  if expiry(lapse[place]) ~= expiry(before[place]) then
    redis.call('PEXPIREAT', KEYS[3 + place], expiry(lapse[place]))
  end
end
for place in pairs(unsure) do settle(KEYS[3 + place], agents[place]) end
return missing
"""
)
"""Sets of all agents are read and written in one call each. A lease that outlasts all others of its agent is
the longest; where one is renewed for less, that must be asked."""

_LOOK = (
    _NOW
    + """
local found = {now - since}
for i = 4, #KEYS do
  local ends = redis.call('ZRANGE', KEYS[i], 0, -1, 'WITHSCORES')
  for j = 2, #ends, 2 do ends[j] = tonumber(ends[j]) - now end
  local known = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[i - 3]))
  local quiet = -2
  if known then quiet = known < 0 and -1 or now - known end
  found[#found + 1] = {math.max(quiet, -2), ends}
end
return found
"""
)

_WRITE = (
    _NOW
    + _SETTLE
    + """
for i, entry in ipairs(cjson.decode(ARGV[1])) do
  local sessions = KEYS[3 + i]
  if entry.forget then redis.call('DEL', sessions) end
  if entry.forget or entry.quiet == -2 then
    redis.call('ZREM', KEYS[3], entry.agent)
  elseif entry.quiet then
    redis.call('ZADD', KEYS[3], entry.quiet == -1 and -1 or now - entry.quiet, entry.agent)
  end
  for _, name in ipairs(entry.drop) do redis.call('ZREM', sessions, name) end
  for _, lease in ipairs(entry.grant) do redis.call('ZADD', sessions, now + lease[2], lease[1]) end
  settle(sessions, entry.agent)
end
"""
)

_LAPSED = (
    _NOW
    + """
return redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[1], 'LIMIT', 0, ARGV[2])
"""
)

_CLAIM = (
    _NOW
    + """
local claims = {}
for i = 2, #ARGV, 2 do
  local sessions, agent, lease = KEYS[3 + i / 2], ARGV[i], tonumber(ARGV[i + 1])
  local longest = redis.call('ZREVRANGE', sessions, 0, 0, 'WITHSCORES')
  local ended = tonumber(longest[2])
  if now - since < lease or (ended and ended + ARGV[1] > now) then
    claims[i / 2] = -2
  else
    redis.call('DEL', sessions)
    redis.call('ZREM', KEYS[2], agent)
    claims[i / 2] = ended and now - ended or -1
  end
end
return claims
"""
)
_ALIVE, _ABSENT = -2, -1
_MILLISECOND = timedelta(milliseconds=1)
_RESTING, _UNKNOWN = -1, -2
"""In place of how long ago the last input was."""

_HEALING = (
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
    exceptions.MasterDownError,
    exceptions.TryAgainError,
    exceptions.OutOfMemoryError,
    exceptions.RedisClusterException,
)
"""Answers of a Redis that is failing over or full, or of whose cluster no node can be reached: the same call
may succeed later."""


@dataclass(frozen=True, slots=True)
class LeaseChange:
    """What becomes of one agent's leases, and of what is known of their input.

    ``forget`` drops all of it first; grants are seconds.
    """

    key: AgentKey
    grant: Mapping[str, int] = field(default_factory=dict)
    drop: Sequence[str] = ()
    forget: bool = False
    quiet: timedelta | Literal["resting", "unknown"] | None = None
    """How long ago the newest input was; None leaves that as it is."""


class Leases:
    """The sessions that live. Keys of several tenants are never used in one call."""

    def __init__(self, client: AnyRedis, prefix: str) -> None:
        self._prefix = prefix
        self._renew = client.register_script(_RENEW)
        self._look = client.register_script(_LOOK)
        self._write = client.register_script(_WRITE)
        self._lapsed = client.register_script(_LAPSED)
        self._claim = client.register_script(_CLAIM)

    async def renew(self, beats: Iterable[Renewal]) -> set[AgentKey]:
        """Renew the leases of sessions; returns the agents whose rows must be asked.

        A session without a lease is left alone: only the agent's row knows whether it may come in.
        """
        unsettled: set[AgentKey] = set()
        by_tenant: dict[str, list[Renewal]] = {}
        for beat in beats:
            by_tenant.setdefault(beat.key.tenant_id, []).append(beat)
        for tenant_id, own in by_tenant.items():
            places: dict[AgentKey, int] = {}
            wanted = [
                (
                    places.setdefault(key, len(places) + 1),
                    name,
                    seconds * 1000,
                    key.agent_id,
                    _UNKNOWN if quiet is None else quiet // _MILLISECOND,
                )
                for key, name, seconds, _, quiet in own
            ]
            agents = list(places)
            async with _failover_heals():
                missing = await self._renew(
                    self._keys(tenant_id, agents), [dumps(wanted), own[0].idle_seconds * 1000]
                )
            unsettled.update(agents[place - 1] for place in missing)
        return unsettled

    async def look(self, keys: Iterable[AgentKey]) -> dict[AgentKey, Leased]:
        """Return what is known of these agents' sessions."""
        found: dict[AgentKey, Leased] = {}
        for tenant_id, agents in _by_tenant(keys):
            async with _failover_heals():
                age, *each = await self._look(self._keys(tenant_id, agents), [key.agent_id for key in agents])
            for key, (quiet, ends) in zip(agents, each, strict=True):
                left = {
                    name: timedelta(milliseconds=rest)
                    for name, rest in zip(ends[::2], ends[1::2], strict=True)
                }
                found[key] = Leased(
                    _span(age), left, quiet=None if quiet < 0 else _span(quiet), rests=quiet == _RESTING
                )
        return found

    async def write(self, changes: Iterable[LeaseChange]) -> None:
        """Grant, drop and forget leases; the agents' locks are held."""
        by_key = {change.key: change for change in changes}
        for tenant_id, agents in _by_tenant(by_key):
            entries = [_entry(by_key[key]) for key in agents]
            async with _failover_heals():
                await self._write(self._keys(tenant_id, agents), [dumps(entries)])

    async def lapsed(self, tenant_id: str, margin: timedelta, limit: int) -> list[AgentKey]:
        """List agents whose last lease ended at least ``margin`` ago; nothing is changed."""
        async with _failover_heals():
            names = await self._lapsed(self._keys(tenant_id, ()), [_milliseconds(margin), limit])
        return [AgentKey(tenant_id, name) for name in names]

    async def claim(
        self, lease_seconds: Mapping[AgentKey, int], margin: timedelta
    ) -> dict[AgentKey, timedelta | None]:
        """Drop the sessions of agents who are absent, and return how long ago their last lease ended.

        None where there was no record of any. Who has a lease, or had one ``margin`` ago, is not
        claimed, nor is anybody before leases were held for as long as the agent's own lease.
        """
        claimed: dict[AgentKey, timedelta | None] = {}
        for tenant_id, agents in _by_tenant(lease_seconds):
            arguments: list[str | int] = [_milliseconds(margin)]
            for key in agents:
                arguments += (key.agent_id, lease_seconds[key] * 1000)
            async with _failover_heals():
                answers = await self._claim(self._keys(tenant_id, agents), arguments)
            for key, answer in zip(agents, answers, strict=True):
                if answer != _ALIVE:
                    claimed[key] = None if answer == _ABSENT else _span(answer)
        return claimed

    def _keys(self, tenant_id: str, agents: Iterable[AgentKey]) -> list[str]:
        place = f"{self._prefix}presence:{{{quote(tenant_id, safe='')}}}"
        sessions = (f"{place}:sessions:{key.agent_id}" for key in agents)
        return [f"{place}:since", f"{place}:leases", f"{place}:inputs", *sessions]


def _entry(change: LeaseChange) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "agent": change.key.agent_id,
        "forget": change.forget,
        "drop": list(change.drop),
        "grant": [[name, seconds * 1000] for name, seconds in change.grant.items()],
    }
    match change.quiet:
        case None:
            pass
        case "resting":
            entry["quiet"] = _RESTING
        case "unknown":
            entry["quiet"] = _UNKNOWN
        case timedelta() as quiet:
            entry["quiet"] = _milliseconds(quiet)
        case other:
            assert_never(other)
    return entry


def _by_tenant(keys: Iterable[AgentKey]) -> list[tuple[str, list[AgentKey]]]:
    grouped = groupby(sorted(keys), key=lambda key: key.tenant_id)
    return [(tenant_id, list(group)) for tenant_id, group in grouped]


def _milliseconds(span: timedelta) -> int:
    return span // _MILLISECOND


def _span(milliseconds: int) -> timedelta:
    return timedelta(milliseconds=milliseconds)


@asynccontextmanager
async def _failover_heals() -> AsyncIterator[Any]:
    try:
        yield
    except _HEALING as error:
        raise Retryable(str(error)) from error
