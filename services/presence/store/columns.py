"""Keys as the arrays that bulk statements unnest."""

from collections.abc import Iterable

from services.presence.model import AgentKey


def columns(keys: Iterable[AgentKey]) -> dict[str, list[str]]:
    """Return the keys' columns, sorted and each key once."""
    ordered = sorted(set(keys))
    return {"tenants": [key.tenant_id for key in ordered], "agents": [key.agent_id for key in ordered]}
