import io

import pytest
from rich.console import Console

from ops.demo.drawing import FLOW_ROWS, FRAME_ROWS, HEAD_ROWS, draw, share
from ops.demo.live import Frame
from ops.demo.picture import Picture, paint
from ops.demo.scene import Scene
from tests.demo.builders import a_full_picture, a_moment, a_picture, a_sales_department

SIZES = [
    (80, 24),
    (140, 45),
    (200, 60),
    (100, 30),
    (80, 12),
    (60, 20),
    (40, 10),
    (30, 8),
    (10, 4),
    (3, 1),
    (300, 10),
]
HAPPENED = [f"0:{number:02d}  somebody does something" for number in range(40)]


def drawn(picture: Picture, width: int, height: int, *, happened: list[str] = HAPPENED) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), record=True, color_system=None)
    console.print(draw(picture, happened, width, height))
    return console.export_text(styles=False).splitlines()


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize(
    "picture",
    [a_picture(), a_full_picture(), paint(Scene(), a_moment(written={}, lags={}))],
    ids=["a day", "full", "empty"],
)
def test_any_picture_fits_any_terminal(picture: Picture, width: int, height: int) -> None:
    lines = drawn(picture, width, height)
    assert max(map(len, lines)) <= width
    assert len(lines) <= max(height, HEAD_ROWS)


def test_eighty_by_twenty_four_shows_every_part() -> None:
    lines = drawn(a_full_picture(), 80, 24)
    page = "\n".join(lines)
    for title in ("departments", "agents", "chats", "refused", "sends", "tickets", "message to agent", "lag"):
        assert title in page, title
    assert "p50 10000 ms  p99 30000 ms" in page
    assert "routing 99.9 s" in page
    assert "99,999 messages" in page
    assert len(lines) == 24


def test_the_figures_are_in_their_places() -> None:
    past = a_sales_department()
    past.open("c1", past.write("+27820000001", "m1"))
    past.assign("c1", "ann")
    lines = drawn(a_picture(past), 80, 24)
    (sales,) = [line for line in lines if "Sales" in line]
    assert "2 of 2" in sales
    assert "1 of 4" in sales
    (people,) = [line for line in lines if "ann" in line]
    assert "ann      ●○" in people
    assert any(line.startswith("│ assigned") and line.split()[2] == "1" for line in lines)


def test_a_larger_terminal_shows_more() -> None:
    small, large = ("\n".join(drawn(a_full_picture(), *size)) for size in ((80, 24), (140, 45)))
    for title in ("happened", "waits longest", "messages a second, up to 39"):
        assert title not in small
        assert title in large
    assert "send: a reason of some length 7" in large


def test_a_short_terminal_leaves_out_who_works_before_the_queues() -> None:
    page = "\n".join(drawn(a_full_picture(), 80, 12))
    assert "departments" in page
    assert "agents" not in page
    assert "lag" in page


def test_who_does_not_fit_is_counted() -> None:
    assert "agents, 8 of 20" in "\n".join(drawn(a_full_picture(), 42, 22))


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_no_figure_of_a_department_is_cut(width: int) -> None:
    lines = [line for line in drawn(a_full_picture(), width, 24) if "Sales" in line]
    assert "1234" in lines[0]
    assert "99.9 s" in lines[0]
    assert "12 of 14" in lines[0]


def test_an_agent_who_is_not_there_is_told_apart_without_colour() -> None:
    past = a_sales_department()
    past.agent("ann", "away", 2)
    past.agent("ben", "offline", 2)
    page = "\n".join(drawn(a_picture(past), 80, 24))
    assert "ann      ○○   away" in page
    assert "ben      ○○   gone" in page


def test_the_newest_happening_is_kept_where_only_one_fits() -> None:
    page = "\n".join(drawn(a_full_picture(), 80, 24))
    assert HAPPENED[-1] in page
    assert HAPPENED[-2] not in page


def test_columns_of_the_chart_stand_on_one_another() -> None:
    lines = drawn(a_picture(seconds=4, written={0: 8, 1: 0, 2: 4, 3: 8}), 140, 45)
    chart = [line.rsplit("│", 2)[1] for line in lines if line.endswith("█ │")]
    assert chart
    assert {line.rstrip()[-4:] for line in chart} == {"█  █", "█ ██"}


@pytest.mark.parametrize("height", range(1, 80))
def test_rows_are_shared_out_to_the_last(height: int) -> None:
    rows = share(height, 3, 5)
    framed = [part for part in (rows.departments, rows.counts, rows.agents) if part]
    happened = rows.happenings + (FRAME_ROWS if rows.happenings > FRAME_ROWS else 0)
    taken = HEAD_ROWS + FLOW_ROWS + sum(framed) + FRAME_ROWS * len(framed) + happened
    assert taken <= max(height, HEAD_ROWS + FLOW_ROWS)
    assert height < HEAD_ROWS + FLOW_ROWS or taken >= height - FRAME_ROWS


def test_a_frame_fits_itself_to_the_terminal_it_is_drawn_on() -> None:
    console = Console(width=80, height=24, file=io.StringIO(), record=True)
    console.print(Frame(a_full_picture(), ()))
    assert len(console.export_text().splitlines()) <= 24
