import io

from rich.console import Console

from ops.checker import Verdict
from ops.demo.figures import Figures, Happened, Latency
from ops.demo.telling import HEAD_EVERY, WIDTH, Teller, last_line, report
from tests.demo.builders import a_full_picture, a_picture

FIGURES = Figures(3000, 1234, 321, 50.0, Latency(900, 12.0, 99.0), 1234.0, 999.0, 232.0)
HAPPENED = Happened(60, 200, 321, 3, 8, 12, 11)
TEN = [
    Verdict(n, f"the invariant number {n}, whose name is rather long indeed", 1_000_000) for n in range(10)
]


def _told() -> tuple[io.StringIO, Teller]:
    out = io.StringIO()
    return out, Teller(Console(file=out, width=WIDTH, highlight=False))


def test_everything_fits_eighty_columns() -> None:
    out, teller = _told()
    for _ in range(HEAD_EVERY + 2):
        teller.progress(a_full_picture())
    teller.verdicts(TEN)
    teller.figures(FIGURES, HAPPENED)
    assert max(map(len, out.getvalue().splitlines())) <= WIDTH


def test_without_a_terminal_nothing_is_coloured() -> None:
    out, teller = _told()
    teller.say("all is well", "bold green")
    assert out.getvalue() == "all is well\n"


def test_the_head_comes_back_now_and_then() -> None:
    out, teller = _told()
    for _ in range(HEAD_EVERY + 1):
        teller.progress(a_picture())
    assert out.getvalue().count("queue closed") == 2


def test_a_line_tells_the_centre_at_a_moment() -> None:
    out, teller = _told()
    teller.progress(a_picture())
    title, head, line = out.getvalue().splitlines()
    assert line == " 0:10    97  50 │    1     0      1 │       1 │    2       0 │      2 │  110 0.4"
    bars = [at for at, sign in enumerate(title) if sign == "│"]
    assert [line[at] for at in bars] == [head[at] for at in bars] == ["│"] * len(bars)


def test_the_last_line_is_as_promised() -> None:
    assert (
        last_line(FIGURES, TEN)
        == "demo: 3000 messages, 1234 chats, 321 tickets, 10 invariants checked, 0 broken"
    )


def test_an_invariant_without_cases_counts_as_broken() -> None:
    nothing_seen = [*TEN[:9], Verdict(10, "unseen", 0)]
    assert last_line(FIGURES, nothing_seen).endswith("10 invariants checked, 1 broken")


def test_broken_cases_are_named_up_to_a_few() -> None:
    out, teller = _told()
    teller.verdicts([Verdict(1, "name", 10, [f"case {n}" for n in range(7)])])
    assert "1: case 4" in out.getvalue()
    assert "case 5" not in out.getvalue()
    assert "2 more" in out.getvalue()


def test_the_report_has_every_invariant_with_its_counts() -> None:
    broken = Verdict(1, "name", 10, ["a case"])
    written = report({"seed": 7}, [broken], FIGURES, HAPPENED)
    assert written["seed"] == 7
    assert written["invariants"] == [
        {"id": 1, "name": "name", "checked": 10, "broken": 1, "cases": ["a case"]}
    ]
    assert written["figures"]["messages"] == 3000


def test_what_never_occurred_is_missing() -> None:
    assert HAPPENED.missing() == []
    assert Happened(0, 0, 0, 0, 8, 12, 11).missing() == [
        "a duplicate",
        "a refusal",
        "a divert",
        "a lost agent",
    ]
