from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.decisions.choice import Ranking, Verdict, choose, verdict
from services.routing.model import Agent, Strategy
from tests.desk_events import NOON
from tests.routing.builders import an_agent


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (an_agent(load=2, capacity=3), Verdict.AVAILABLE),
        (an_agent(load=3, capacity=3), Verdict.FULL),
        (an_agent(load=4, capacity=3), Verdict.FULL),
        (an_agent(state="away"), Verdict.AWAY),
        (an_agent(state="offline"), Verdict.OFFLINE),
        (an_agent(draining=True), Verdict.DRAINING),
    ],
)
def test_an_agent_is_available_when_online_with_room_and_not_draining(
    agent: Agent, expected: Verdict
) -> None:
    assert verdict(agent) is expected


def test_the_least_loaded_gets_the_chat() -> None:
    assert choose([an_agent("busy", load=2), an_agent("idle", load=1)]).agent == an_agent("idle", load=1)


def test_of_equally_loaded_the_longest_without_a_new_chat_gets_it() -> None:
    lately = an_agent("ann", last_assigned_at=NOON)
    long_ago = an_agent("bob", last_assigned_at=NOON - timedelta(hours=1))
    never = an_agent("cid")
    assert choose([lately, long_ago]).agent == long_ago
    assert choose([lately, long_ago, never]).agent == never


def test_the_longest_idle_gets_the_chat_whatever_they_hold() -> None:
    rested = an_agent("ann", load=2, last_assigned_at=NOON - timedelta(hours=1))
    busy = an_agent("bob", load=0, last_assigned_at=NOON)
    assert choose([busy, rested], "longest_idle").agent == rested


@pytest.mark.parametrize(
    ("last", "order"),
    [
        ("", ["ann", "bob", "cid"]),
        ("ann", ["bob", "cid", "ann"]),
        ("bert", ["bob", "cid", "ann"]),
        ("cid", ["ann", "bob", "cid"]),
    ],
)
def test_in_round_robin_the_turn_goes_to_the_next_id_after_the_last(last: str, order: list[str]) -> None:
    agents = [an_agent("cid"), an_agent("ann", load=2), an_agent("bob", load=1)]
    assert [agent_id for agent_id, *_ in choose(agents, "round_robin", last).shortlist] == order


def test_nobody_is_chosen_when_all_are_full_but_somebody_works() -> None:
    choice = choose([an_agent(load=3, capacity=3), an_agent("bob", state="away")])
    assert choice.agent is None
    assert choice.anybody_working


agents = st.lists(
    st.builds(
        an_agent,
        st.sampled_from("abcdefgh"),
        load=st.integers(0, 3),
        capacity=st.integers(1, 3),
        state=st.sampled_from(["online", "away", "offline"]),
        draining=st.booleans(),
        last_assigned_at=st.sampled_from([None, NOON, NOON - timedelta(hours=1)]),
    ),
    unique_by=lambda agent: agent.agent_id,
)


strategies: st.SearchStrategy[Strategy] = st.sampled_from(["least_loaded", "round_robin", "longest_idle"])


@given(agents, st.lists(st.tuples(agents, st.sampled_from(["", *"abcdefgh"]))), strategies)
def test_a_ranking_gives_the_same_answers_as_the_definition(
    before: list[Agent], steps: list[tuple[list[Agent], str]], strategy: Strategy
) -> None:
    floor = {agent.key: agent for agent in before}
    ranking = Ranking(list(floor), floor, strategy)
    assert ranking.choose() == choose(floor.values(), strategy)
    for changed, turn in steps:
        ranking.turn = turn
        for agent in changed:
            if agent.key in floor:
                floor[agent.key] = agent
                ranking.changed(agent)
        assert ranking.choose() == choose(floor.values(), strategy, turn)
