import pytest

from bench.measured import Measured, told
from bench.report import (
    GOALS,
    GROWTH_GOALS,
    PRESENCE_GOALS,
    SCALE_GOALS,
    Goal,
    composite_bound,
    judge,
    spread,
)


def at(rate: float) -> Measured:
    return Measured(messages=1000, seconds=1000 / rate, cpu_seconds=0.5)


def a_round(
    routing: float = 2_000,
    kafka_loop: float = 10_000,
    rows: float = 10_000,
    codec: float = 50_000,
    naive: float = 100,
) -> dict[str, Measured]:
    return {
        "routing": at(routing),
        "kafka_loop": at(kafka_loop),
        "rows": at(rows),
        "codec": at(codec),
        "naive": at(naive),
    }


P1, P2 = GOALS


def test_the_bound_is_what_remains_when_the_three_parts_take_turns() -> None:
    assert composite_bound(a_round(kafka_loop=10_000, rows=10_000, codec=5_000)) == pytest.approx(2_500)


@pytest.mark.parametrize(
    ("goal", "rates", "line"),
    [
        (P1, {"routing": 2_000}, "P1 0.44 goal 0.40 pass"),
        (P1, {"routing": 1_800}, "P1 0.40 goal 0.40 short"),  # 0.396: shown rounded, judged as it is
        (P2, {"naive": 100}, "P2 20.0 goal 20.0 pass"),
        (P2, {"naive": 101}, "P2 19.8 goal 20.0 short"),
    ],
)
def test_a_goal_says_in_one_line_whether_it_is_reached(
    goal: Goal, rates: dict[str, float], line: str
) -> None:
    assert judge(goal, [a_round(**rates)] * 5).line() == line


def test_the_ratio_is_taken_within_each_round_and_the_median_counts() -> None:
    # A slow moment of the machine slows a whole round; its ratio stays what it is.
    slow = a_round(routing=1_200, naive=50)
    assert judge(P2, [a_round(), slow, slow]).value == pytest.approx(24)


def test_a_leg_that_varies_more_than_twofold_makes_its_goals_noisy_and_no_other() -> None:
    rounds = [a_round(), a_round(naive=210)]
    assert spread([one["naive"] for one in rounds]) == pytest.approx(2.1)
    assert judge(P2, rounds).verdict == "noisy"
    assert judge(P1, rounds).verdict == "pass"


@pytest.mark.parametrize(
    ("large", "line"), [(0.65, "P11 1.30 goal <= 1.30 pass"), (0.66, "P11 1.32 goal <= 1.30 short")]
)
def test_growth_may_cost_so_much_and_no_more(large: float, line: str) -> None:
    one = {"small": at(2_000), "large": Measured(messages=1000, seconds=0.5, cpu_seconds=large)}
    assert judge(GROWTH_GOALS[0], [one] * 3).line() == line


@pytest.mark.parametrize(
    ("rate", "busy", "line"),
    [
        (1_300, 0.5, "P9 1.30 goal 1.30 pass (cores 50% busy)"),
        (1_100, 0.95, "P9 1.10 goal 1.30 pass (cores 95% busy)"),
        (1_100, 0.89, "P9 1.10 goal 1.30 short (cores 89% busy)"),
    ],
)
def test_a_second_process_brings_more_or_the_machine_has_no_more(rate: float, busy: float, line: str) -> None:
    two = Measured(messages=1000, seconds=1000 / rate, cpu_seconds=0.5, busy=busy)
    assert judge(SCALE_GOALS[0], [{"one": at(1_000), "two": two}] * 3).line() == line


def test_presence_is_judged_by_its_ratio_and_by_the_latest_loss_of_all_rounds() -> None:
    def a_round(late_seconds: float) -> dict[str, Measured]:
        loss = Measured(messages=48, seconds=8, cpu_seconds=1, late_seconds=late_seconds)
        return {"presence": at(500), "raw_leases": at(1_000), "loss": loss}

    lines = [judge(goal, [a_round(0.1), a_round(1.2), a_round(0.4)]).line() for goal in PRESENCE_GOALS]
    assert lines == ["P6 0.50 goal 0.50 pass", "P6-loss 1.20 goal <= 1.00 short"]


def test_a_baseline_is_read_from_the_last_line_it_prints() -> None:
    output = 'starting\n{"messages": 500, "seconds": 0.5, "cpu_seconds": 0.25}\n'
    assert told(output).rate == pytest.approx(1000)
    assert told(output).cpu_micros == pytest.approx(500)
