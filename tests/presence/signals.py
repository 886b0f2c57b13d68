"""Signals as the desk and others publish them."""

from shared.contracts.agent_signals import AgentHeartbeat, AgentSignedIn, AgentSignedOut, AgentStateSet


def signed_in(session: str = "tab", agent: str = "ann", **fields: object) -> AgentSignedIn:
    return AgentSignedIn.model_validate({"agent_id": agent, "session_id": session, **fields})


def heartbeat(session: str = "tab", agent: str = "ann", **fields: object) -> AgentHeartbeat:
    return AgentHeartbeat.model_validate({"agent_id": agent, "session_id": session, **fields})


def signed_out(session: str | None = "tab", agent: str = "ann", **fields: object) -> AgentSignedOut:
    return AgentSignedOut.model_validate({"agent_id": agent, "session_id": session, **fields})


def state_set(state: str | None = "away", agent: str = "ann", **fields: object) -> AgentStateSet:
    return AgentStateSet.model_validate({"agent_id": agent, "state": state, **fields})
