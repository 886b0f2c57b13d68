"""The checker finds nothing in a clean history, and in each doctored one the invariant that it breaks."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ops.checker import check
from ops.checker.history import Parked, Record
from services.routing.decisions.choice import candidate
from services.routing.model import Agent
from shared.contracts import catalogue, chats, cloudevents
from shared.contracts.agents import AgentChanged
from shared.contracts.directory import AgentDocument
from shared.contracts.event import Event
from tests.checker.builders import NOON, Past, a_day, a_placement, a_preference, judged, somebody

AN_ANN = Agent("acme", "ann", capacity=9, state="online", presence_version=1)
HELD_TO = {"asked": ["french"], "relaxed": False, "held_to": True}


def test_a_clean_history_keeps_all_ten() -> None:
    verdicts = judged(a_day())
    assert {verdict.id: verdict.broken for verdict in verdicts.values()} == {n: [] for n in range(1, 11)}
    assert all(verdict.checked > 0 for verdict in verdicts.values())


def test_an_invariant_without_cases_does_not_hold() -> None:
    past = Past()
    past.open_for_business()
    assert not any(verdict.holds for verdict in judged(past).values() if verdict.id not in {8, 10})


def _is(kind: type[Any], **fields: Any) -> Callable[[Event[Any]], bool]:
    return lambda event: (
        isinstance(event.data, kind)
        and all(getattr(event.data, name) == value for name, value in fields.items())
    )


def message_in_no_chat(past: Past) -> None:
    past.write("+27820000009", "lost")


def message_in_two_chats(past: Past) -> None:
    hello = past.write("+27820000009", "twice")
    past.open("c8", hello)
    past.divert("c8", "t8")
    past.add("c8", hello)


def message_of_nobody_in_a_chat(past: Past) -> None:
    past.drop("inbound-messages.v1", lambda event: event.data.provider_message_id == "m3")


def messages_of_a_pair_swapped(past: Past) -> None:
    first = past.write("+27820000009", "first")
    second = past.write("+27820000009", "second")
    past.open("c8", second)
    past.add("c8", first)


def acknowledged_record_missing(past: Past) -> None:
    past.published.append(replace(past.published[0], offset=99))


def chat_changes_hands_silently(past: Past) -> None:
    past.rewrite("chats.v1", _is(chats.ChatMessageAdded, message_id="m2"), agent_id="ben")


def assigned_to_an_agent_who_is_away(past: Past) -> None:
    past.agent("ben", "away", 2)
    past.open("c8", past.write("+27820000009", "m9"))
    past.assign("c8", "ben", presence_version=2)


def assigned_by_a_state_that_was_read_to_be_outdated(past: Past) -> None:
    past.agent("ben", "away", 2)
    past.beat("ann", "ben")
    past.wait(seconds=2)
    past.open("c8", past.write("+27820000009", "m9"))
    past.assign("c8", "ben", presence_version=1)


def assigned_by_no_known_state(past: Past) -> None:
    past.rewrite("chats.v1", _is(chats.ChatAssigned, chat_id="c1"), why=None)


def assigned_outside_the_department(past: Past) -> None:
    past.rewrite("chats.v1", _is(chats.ChatAssigned, chat_id="c1"), department_id="service")


def load_told_above_capacity(past: Past) -> None:
    past.rewrite("chats.v1", _is(chats.ChatAssigned, chat_id="c1"), agent_load=3)


def three_chats_held_at_once(past: Past) -> None:
    for n in range(3):
        past.open(f"c8{n}", past.write(f"+2782000009{n}", f"m8{n}"))
        past.assign(f"c8{n}", "ann")
        past.beat("ann", "ben")
    past.rewrite("chats.v1", _is(chats.ChatAssigned, agent_id="ann"), agent_load=1)


def offered_to_somebody_who_is_full(past: Past) -> None:
    for n in range(3):
        past.open(f"c8{n}", past.write(f"+2782000009{n}", f"m8{n}"))
        past.assign(f"c8{n}", "ann")
        past.offer(f"c8{n}", "ben")
        past.beat("ann", "ben")
    past.rewrite("chats.v1", _is(chats.ChatOffered), agent_load=1)


def given_the_slot_that_is_wrapped_up(past: Past) -> None:
    for n in range(3):
        past.open(f"c8{n}", past.write(f"+2782000009{n}", f"m8{n}"))
        past.assign(f"c8{n}", "ann")
        if n == 0:
            past.close("c80", wrap_up=timedelta(minutes=1))
        past.beat("ann", "ben")
    past.rewrite("chats.v1", _is(chats.ChatAssigned, agent_id="ann"), agent_load=1)


def kept_waiting_after_a_wrap_up(past: Past) -> None:
    for n, agent in ((4, "ann"), (5, "ann"), (6, "ben")):
        past.open(f"c{n}", past.write(f"+2782000000{n}", f"m{n + 1}"))
        past.assign(f"c{n}", agent)
    past.close("c4", wrap_up=timedelta(minutes=1))
    past.open("c7", past.write("+27820000007", "m9"))
    past.queue("c7")
    past.end_wrap_up("c4")
    _time_passes(past, 5)


def load_kept_for_a_wrap_up_that_is_over(past: Past) -> None:
    past.close("c3", wrap_up=timedelta(minutes=1))
    past.end_wrap_up("c3")
    past.loads["ben"] += 1


def load_told_above_capacity_by_an_offer(past: Past) -> None:
    past.offer("c3", "ann")
    past.rewrite("chats.v1", _is(chats.ChatOffered), agent_load=3)


def accepted_outside_the_department_it_was_offered_into(past: Past) -> None:
    past.offer("c3", "ann", to_department_id="service")
    past.accept("c3", department_id="service")


def two_open_chats_of_a_pair(past: Past) -> None:
    past.open("c8", past.write("+27820000003", "m9"))
    past.assign("c8", "ann")


def two_open_tickets_of_a_pair(past: Past) -> None:
    past.tell("c2", chats.ChatClosed, state="closed", by={"role": "system"}, reason="test")
    past.open("c8", past.write("+27820000002", "m9"))
    past.divert("c8", "t2")


def free_form_outside_the_window(past: Past) -> None:
    past.open("c8", past.write("+27820000009", "m9", sent_at=NOON - timedelta(hours=25)))
    past.assign("c8", "ann")
    past.answer("c8", "r8")


def free_form_to_somebody_who_never_wrote(past: Past) -> None:
    pair = past.chats["c1"].pair.model_copy(update={"customer_address": "+27820000077"})
    request = past.request(pair, "r8")
    past.call("r8")
    past.deliver(request, "accepted")


def refused_inside_the_window(past: Past) -> None:
    request = past.reply("c3", "r8")
    past.deliver(request, "refused", reason="window_closed")


def providers_no_recorded_twice(past: Past) -> None:
    request = past.reply("c3", "r8")
    past.call("r8", taken=False, answer="declined", code="131047")
    past.deliver(request, "failed", provider_code="131047")
    past.deliver(request, "failed", provider_code="131047")


def sent_again_after_the_provider_closed_the_window(past: Past) -> None:
    past.wait(seconds=6)
    request = past.reply("c3", "r8")
    past.call("r8", taken=False, answer="declined", code="131047")
    past.deliver(request, "failed", provider_code="131047")
    past.wait(seconds=6)
    past.answer("c3", "r9")


def request_taken_twice(past: Past) -> None:
    past.answer("c3", "r8")
    past.call("r8")


def request_sent_again_after_an_unclear_answer(past: Past) -> None:
    request = past.reply("c3", "r8")
    past.call("r8", taken=False, answer="unclear")
    past.call("r8")
    past.deliver(request, "in_doubt", "accepted")


def request_dropped(past: Past) -> None:
    past.reply("c3", "r8")


def taken_message_told_as_refused(past: Past) -> None:
    request = past.reply("c3", "r8")
    past.call("r8")
    past.deliver(request, "refused", reason="too_late")


def replies_left_in_the_wrong_order(past: Past) -> None:
    first, second = past.reply("c3", "r8"), past.reply("c3", "r9")
    past.call("r9")
    past.call("r8")
    past.deliver(first, "accepted")
    past.deliver(second, "accepted")


def call_that_nobody_asked_for(past: Past) -> None:
    past.call("r99")


def read_before_sent(past: Past) -> None:
    request = past.reply("c3", "r8")
    past.call("r8")
    past.deliver(request, "accepted", "read", "sent")


def delivered_after_failed_without_a_word(past: Past) -> None:
    request = past.reply("c3", "r8")
    past.call("r8")
    past.deliver(request, "accepted", "failed", "delivered")


def gap_in_a_chat(past: Past) -> None:
    past.drop("chats.v1", _is(chats.ChatMessageAdded, message_id="r1"))


def last_change_never_told(past: Past) -> None:
    past.drop("chats.v1", _is(chats.ChatClosed))


def told_but_not_kept(past: Past) -> None:
    past.open("c8", past.write("+27820000009", "m9"))
    del past.chats["c8"]


def reply_never_asked_to_be_sent(past: Past) -> None:
    past.drop("outbound-messages.v1", lambda event: event.data.request_id == "r2")


def event_told_in_two_ways(past: Past) -> None:
    told = past.records["chats.v1"][0].event
    assert told is not None
    past.put(replace(told, data=told.data.model_copy(update={"priority": 5})))


def event_nobody_can_read(past: Past) -> None:
    record = past.records["chats.v1"][-1]
    past.records["chats.v1"].append(replace(record, offset=99, event=None, problem="invalid_pair_key"))


def queued_beside_a_free_agent(past: Past) -> None:
    past.open("c8", past.write("+27820000009", "m9"))
    past.queue("c8")
    _time_passes(past, 5)
    past.assign("c8", "ann")


def _asks_for_french(past: Past) -> None:
    past.open("c8", past.write("+27820000009", "m9"), "french")
    past.queue("c8")


def queued_beside_who_has_the_skills(past: Past) -> None:
    past.can("ann", "french", "wine")
    _asks_for_french(past)
    _time_passes(past, 5)


def queued_beside_a_free_agent_though_relaxed(past: Past) -> None:
    _asks_for_french(past)
    past.tell("c8", chats.ChatSkillsRelaxed, skills=("french",))
    _time_passes(past, 5)


def given_to_who_lacks_a_skill(past: Past) -> None:
    _asks_for_french(past)
    past.can("ben", "french")
    past.assign("c8", "ann", why=a_placement(AN_ANN, asks=HELD_TO))


def skills_forgotten(past: Past) -> None:
    _asks_for_french(past)
    past.assign("c8", "ann")


def left_with_an_agent_who_is_gone(past: Past) -> None:
    past.beat("ann", "ben")
    for _ in range(10):
        past.wait(seconds=1)
        past.beat("ann")


def record_never_handled(past: Past) -> None:
    past.put(past.records["agents.v1"][0].event)  # type: ignore[arg-type]
    record = past.records["agents.v1"][-1]
    past.records["agents.v1"][-1] = replace(record, digest=None)


def broken_record_lost(past: Past) -> None:
    _break_a_record(past)


def parked_without_a_dead_letter(past: Past) -> None:
    record = _break_a_record(past)
    past.parked["routing"].append(
        Parked(record.topic, record.partition, record.offset, "key", blocks_key=False, reason="broken_json")
    )
    past.parked["outbound"] = list(past.parked["routing"])


def command_without_an_answer(past: Past) -> None:
    past.drop("chats.v1", _is(chats.ChatClosed))
    past.chats["c1"] = past.chats["c1"].model_copy(
        update={"version": past.chats["c1"].version - 1, "state": "assigned", "agent_id": "ann"}
    )


def _break_a_record(past: Past) -> Record:
    past.write("+27820000009", "broken")
    record = replace(
        past.records["inbound-messages.v1"][-1], event=None, digest=None, problem="broken_json", value=b"{"
    )
    past.records["inbound-messages.v1"][-1] = record
    return record


def _time_passes(past: Past, seconds: int) -> None:
    for _ in range(seconds):
        past.wait(seconds=1)
        past.beat("ann", "ben")


DOCTORED: list[tuple[int, Callable[[Past], None]]] = [
    (1, message_in_no_chat),
    (1, message_in_two_chats),
    (1, message_of_nobody_in_a_chat),
    (1, messages_of_a_pair_swapped),
    (1, acknowledged_record_missing),
    (2, chat_changes_hands_silently),
    (2, assigned_to_an_agent_who_is_away),
    (2, assigned_by_a_state_that_was_read_to_be_outdated),
    (2, assigned_by_no_known_state),
    (2, assigned_outside_the_department),
    (3, load_told_above_capacity),
    (3, three_chats_held_at_once),
    (3, given_the_slot_that_is_wrapped_up),
    (3, load_kept_for_a_wrap_up_that_is_over),
    (2, accepted_outside_the_department_it_was_offered_into),
    (3, offered_to_somebody_who_is_full),
    (3, load_told_above_capacity_by_an_offer),
    (4, two_open_chats_of_a_pair),
    (4, two_open_tickets_of_a_pair),
    (5, free_form_outside_the_window),
    (5, free_form_to_somebody_who_never_wrote),
    (5, refused_inside_the_window),
    (5, providers_no_recorded_twice),
    (5, sent_again_after_the_provider_closed_the_window),
    (6, request_taken_twice),
    (6, request_sent_again_after_an_unclear_answer),
    (6, request_dropped),
    (6, taken_message_told_as_refused),
    (6, replies_left_in_the_wrong_order),
    (6, call_that_nobody_asked_for),
    (7, read_before_sent),
    (7, delivered_after_failed_without_a_word),
    (8, gap_in_a_chat),
    (8, last_change_never_told),
    (8, told_but_not_kept),
    (8, reply_never_asked_to_be_sent),
    (8, event_told_in_two_ways),
    (8, event_nobody_can_read),
    (9, queued_beside_a_free_agent),
    (9, kept_waiting_after_a_wrap_up),
    (9, queued_beside_who_has_the_skills),
    (9, queued_beside_a_free_agent_though_relaxed),
    (2, given_to_who_lacks_a_skill),
    (2, skills_forgotten),
    (9, left_with_an_agent_who_is_gone),
    (10, record_never_handled),
    (10, broken_record_lost),
    (10, parked_without_a_dead_letter),
    (10, command_without_an_answer),
]


def test_an_offer_takes_a_slot_until_it_is_accepted_by_whoever_was_named() -> None:
    """Ann has a chat and an offer, Ben two chats: a third waits beside nobody."""
    past = a_day()
    for n, agent in ((4, "ann"), (5, "ben")):
        past.open(f"c{n}", past.write(f"+2782000000{n}", f"m{n + 1}"))
        past.assign(f"c{n}", agent)
    past.offer("c3", "ann")
    past.open("c6", past.write("+27820000006", "m9"))
    past.queue("c6")
    _time_passes(past, 5)
    past.accept("c3", department_id="service")
    past.assign("c6", "ben")
    assert [verdict.broken for verdict in judged(past).values()] == [[]] * 10


def test_a_slot_is_taken_while_a_chat_is_wrapped_up() -> None:
    """Ann holds a chat and wraps one up, Ben has two: a third waits beside nobody, also above a capacity."""
    past = a_day()
    for n, agent in ((4, "ann"), (5, "ann"), (6, "ben")):
        past.open(f"c{n}", past.write(f"+2782000000{n}", f"m{n + 1}"))
        past.assign(f"c{n}", agent)
    past.close("c4", wrap_up=timedelta(minutes=1))
    past.open("c7", past.write("+27820000007", "m9"))
    past.queue("c7")
    _time_passes(past, 5)
    assert [verdict.broken for verdict in judged(past).values()] == [[]] * 10
    past.end_wrap_up("c4")
    past.assign("c7", "ann")
    _time_passes(past, 5)
    assert [verdict.broken for verdict in judged(past).values()] == [[]] * 10


def test_a_wrap_up_may_begin_above_a_capacity_that_was_lowered_meanwhile() -> None:
    past = a_day()
    for n in (4, 5):
        past.open(f"c{n}", past.write(f"+2782000000{n}", f"m{n + 1}"))
        past.assign(f"c{n}", "ann")
    one_slot = AgentDocument(id="ann", revision=2, name="ann", departments=("sales",), capacity=1)
    past.say(one_slot, "desk")
    _time_passes(past, 2)
    past.close("c4", wrap_up=timedelta(minutes=1))
    _time_passes(past, 5)
    assert judged(past)[3].broken == []


def test_a_chat_that_somebody_is_asked_for_waits_beside_nobody() -> None:
    past = a_day()
    past.open("c6", past.write("+27820000006", "m9"))
    past.queue("c6")
    past.offer("c6", "ann", to_department_id="sales", kind="assign")
    _time_passes(past, 5)
    assert [verdict.broken for verdict in judged(past).values()] == [[]] * 10
    past.end_offer("c6", "accepted")
    past.assign("c6", "ann", reason="accepted")
    assert [verdict.broken for verdict in judged(past).values()] == [[]] * 10


def test_a_chat_that_asks_for_skills_waits_beside_who_lacks_them_until_it_is_relaxed() -> None:
    past = a_day()
    past.can("ann", "wine")
    _asks_for_french(past)
    _time_passes(past, 5)
    past.tell("c8", chats.ChatSkillsRelaxed, skills=("french",))
    past.assign("c8", "ann", why=a_placement(AN_ANN, asks={**HELD_TO, "relaxed": True, "held_to": False}))
    assert [verdict.broken for verdict in judged(past).values()] == [[]] * 10


def test_whoever_has_the_skills_is_rightly_given_it() -> None:
    past = a_day()
    past.can("ann", "french")
    _asks_for_french(past)
    past.assign("c8", "ann", why=a_placement(AN_ANN, asks=HELD_TO))
    assert [verdict.broken for verdict in judged(past).values()] == [[]] * 10


def test_who_accepts_in_time_may_be_above_a_capacity_that_was_lowered_meanwhile() -> None:
    past = a_day()
    past.open("c6", past.write("+27820000006", "m9"))
    past.queue("c6")
    past.offer("c6", "ann", to_department_id="sales", kind="assign")
    past.end_offer("c6", "accepted")
    past.assign("c6", "ann", reason="accepted")
    past.rewrite("chats.v1", _is(chats.ChatAssigned, reason="accepted"), agent_load=3)
    assert judged(past)[3].broken == []


@pytest.mark.parametrize(("invariant", "doctor"), DOCTORED, ids=[doctor.__name__ for _, doctor in DOCTORED])
def test_a_doctored_history_breaks_the_invariant(invariant: int, doctor: Callable[[Past], None]) -> None:
    past = a_day()
    doctor(past)
    assert judged(past)[invariant].broken


def test_a_load_kept_wrongly_breaks_the_third() -> None:
    history = a_day().history()
    loads = {**history.databases.loads, ("acme", "ann"): 1}
    doctored = replace(history, databases=replace(history.databases, loads=loads))
    assert check(doctored)[2].broken


def test_events_left_in_an_outbox_break_the_eighth() -> None:
    history = a_day().history()
    books = {**history.databases.books}
    books["routing"] = replace(books["routing"], unsent=1)
    doctored = replace(history, databases=replace(history.databases, books=books))
    assert check(doctored)[7].broken


def test_records_never_read_break_the_tenth() -> None:
    history = a_day().history()
    books = {**history.databases.books}
    books["outbound"] = replace(books["outbound"], positions={})
    doctored = replace(history, databases=replace(history.databases, books=books))
    assert check(doctored)[9].broken


def test_a_wait_while_inputs_lag_is_nobodys_fault() -> None:
    past = a_day()
    queued_beside_a_free_agent(past)
    history = past.history()
    lagging = tuple(replace(one, read_up_to=NOON) for one in history.readings["routing"])
    readings = {**history.readings, "routing": lagging}
    assert not check(replace(history, readings=readings))[8].broken


def test_a_message_published_twice_is_one_message() -> None:
    past = a_day()
    hello = past.records["inbound-messages.v1"][0].event
    assert hello is not None
    past.put(hello)
    assert not judged(past)[1].broken


def test_an_event_of_ours_told_twice_is_one_event() -> None:
    past = a_day()
    for record in list(past.records["chats.v1"]):
        assert record.event is not None
        past.put(record.event)
    assert [verdict.broken for verdict in judged(past).values()] == [[]] * 10


@pytest.mark.parametrize(("echoed", "broken"), [(0, 2), (1, 0)])
def test_owners_read_their_own_words_back(echoed: int, broken: int) -> None:
    history = a_day().history()
    books = {**history.databases.books}
    said = {catalogue.type_of(AgentChanged)}
    books["presence"] = replace(
        books["presence"],
        handles=books["presence"].handles | said,
        positions={**books["presence"].positions, ("agents.v1", 0): len(history.topics["agents.v1"])},
        echoed={("acme", agent): echoed for agent in ("ann", "ben")},
    )
    doctored = replace(history, databases=replace(history.databases, books=books))
    assert len(check(doctored)[9].broken) == broken


def test_the_last_agent_is_judged_by_the_state_that_preferred_them() -> None:
    past = a_day()
    why = a_preference("ann", a_placement(somebody("ben", presence_version=7)))
    past.open("c4", past.write("+27820000004", "m5"))
    past.assign("c4", "ann", why=why)
    assert judged(past)[2].broken == []


@pytest.mark.parametrize(("rule", "broken"), [(None, False), (0, True)])
def test_a_new_chat_is_judged_by_its_message_and_the_rules_that_it_recorded(
    rule: int | None, broken: bool
) -> None:
    past = a_day()
    why: dict[str, Any] = {"rule": rule, "rules": {}, "tenant_revision": 1}
    past.rewrite("chats.v1", lambda event: isinstance(event.data, chats.ChatOpened), why=why)
    assert any("by its message it is opened by" in one for one in judged(past)[2].broken) is broken
    assert any("from its message the chat is" in one for one in judged(past)[2].broken)


def test_the_event_of_a_fact_is_named_after_its_cause() -> None:
    past = a_day()
    records = past.records["chats.v1"]
    place = next(n for n, one in enumerate(records) if one.event is not None and one.event.causation_id)
    event = replace(records[place].event, id="by chance")  # type: ignore[type-var]
    records[place] = replace(records[place], event=event, value=cloudevents.encode(event))  # type: ignore[arg-type]
    assert any("from its cause its event is" in one for one in judged(past)[2].broken)


def test_a_record_of_who_passed_is_held_against_the_offers_before_it() -> None:
    past = a_day()
    why = {**a_placement(somebody("ann")), "passed_by": ["ben"]}
    past.open("c4", past.write("+27820000004", "m5"))
    past.assign("c4", "ann", why=why)
    assert judged(past)[2].broken == ["chat c4, version 3: it was passed on by nobody"]


@pytest.mark.parametrize(("reason", "broken"), [("agent_away", False), ("agent_full", True)])
def test_a_refusal_is_judged_by_who_was_named(reason: str, broken: bool) -> None:
    past = a_day()
    away = candidate(Agent("acme", "ann", capacity=1, state="away"))
    past.say(chats.ChatCommandRefused(command_id="one", reason=reason, why={"receiver": [*away]}), "routing")
    assert any("the refusal of command one" in one for one in judged(past)[2].broken) is broken
