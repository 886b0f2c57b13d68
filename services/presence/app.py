"""Presence, wired: the table of what it hears, and what looks at the leases unasked."""

from faststream.asgi import AsgiFastStream
from redis.exceptions import RedisClusterException, RedisError

from services.presence.decisions import hearing
from services.presence.handlers import PresenceHandlers
from services.presence.settings import PresenceSettings
from services.presence.store.leases import Leases
from services.presence.store.standings import Standings
from services.presence.timers import Watch
from shared.platform.app import build
from shared.platform.redis_client import connect
from shared.platform.service import Service
from shared.platform.settings import PlatformSettings

STEPS: dict[str, hearing.Step] = {
    "chatdesk.agent.signed_in.v1": hearing.signed_in,
    "chatdesk.agent.heartbeat.v1": hearing.heartbeat,
    "chatdesk.agent.state_set.v1": hearing.state_set,
    "chatdesk.agent.signed_out.v1": hearing.signed_out,
    "chatdesk.agent.changed.v1": hearing.agent_changed,
    "chatdesk.directory.tenant.v1": hearing.tenant_document,
    "chatdesk.directory.agent.v1": hearing.agent_document,
}
REPEATABLE = ("chatdesk.agent.heartbeat.v1",)
"""A heartbeat says the same again by nature; only Redis hears of it."""
REDIS_SECONDS = 2.0
"""Shorter than a transaction may last: locks are held while Redis is asked."""


def create_app(
    platform: PlatformSettings | None = None, settings: PresenceSettings | None = None
) -> AsgiFastStream:
    """Build the service from its settings."""
    platform = platform or PlatformSettings()
    client = connect(platform.redis_url, REDIS_SECONDS)
    standings = Standings(Leases(client, platform.topic_prefix))
    knobs = settings or PresenceSettings()
    watch = Watch(standings, sweep_seconds=knobs.sweep_seconds, reconcile_seconds=knobs.reconcile_seconds)
    handlers = PresenceHandlers(standings, STEPS, contact=lambda: watch.contact)
    service = Service("presence", handlers, handles=STEPS.keys(), repeatable=REPEATABLE)

    async def redis_answers() -> bool:
        try:
            return bool(await client.ping())
        except (RedisError, RedisClusterException):
            return False

    app = build(service, platform, [watch.sweep, watch.reconcile], answers={"redis": redis_answers})
    app.after_shutdown(client.aclose)
    return app
