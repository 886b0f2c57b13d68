from ops.checker import Story
from ops.demo.effort import Effort
from ops.demo.figures import figures, happened
from tests.checker.builders import a_day


def test_figures_count_what_the_history_holds() -> None:
    history = a_day().history()
    found = figures(history, Story(history), Effort(used=0.004, idling=0.001))
    assert (found.messages, found.chats, found.tickets) == (4, 3, 1)
    assert (found.cpu_us_per_message, found.cpu_us_above_idling) == (1000, 750)


def test_latency_is_of_chats_that_found_an_agent_at_once() -> None:
    history = a_day().history()
    latency = figures(history, Story(history), None).latency
    assert latency is not None
    assert latency.count == 1
    assert 0 < latency.p50 < 1000


def test_a_message_that_routing_left_lying_shows_as_the_longest() -> None:
    past = a_day()
    message = past.write("+27820000004", "m5")
    past.put(message)  # a duplicate, which is no later beginning
    past.wait(seconds=54)
    past.put(message)
    past.open("c4", message)
    history = past.history()
    longest = figures(history, Story(history), None).longest_ms
    assert longest is not None
    assert 54_000 <= longest < 55_000


def test_what_occurred_is_counted() -> None:
    past = a_day()
    past.agent("ann", "offline", 2)
    past.rewrite("agents.v1", lambda event: event.data.state == "offline", cause="lost")
    history = past.history()
    seen = happened(history, Story(history))
    assert (seen.diverts, seen.lost_agents, seen.duplicates) == (1, 1, 0)
