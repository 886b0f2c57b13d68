import io
import sys
from dataclasses import dataclass

import pytest
from rich.console import Console

from ops.demo.live import LiveView
from ops.demo.show import Lines, best_show
from ops.demo.telling import WIDTH, Teller
from tests.demo.builders import a_full_picture, a_picture

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


class Terminal(io.StringIO):
    """Standard output with somebody before it."""

    def isatty(self) -> bool:
        return True


def a_terminal(width: int = 80, height: int = 24, **environment: str) -> Console:
    return Console(
        file=Terminal(),
        width=width,
        height=height,
        highlight=False,
        _environ={"TERM": "xterm-256color", **environment},
    )


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@dataclass(frozen=True)
class Seat:
    """Where a demo is started, and what it should show there."""

    name: str
    console: Console
    expected: type
    ci: bool = False
    tty: bool = True
    plain: bool = False


SEATS = (
    Seat("a terminal", a_terminal(), LiveView),
    Seat("a terminal without colour", a_terminal(NO_COLOR="1"), LiveView),
    Seat("a pipe", Console(file=io.StringIO(), width=WIDTH), Lines, tty=False),
    Seat("a pipe made to look like a terminal", a_terminal(FORCE_COLOR="1"), Lines, tty=False),
    Seat("a dumb terminal", a_terminal(TERM="dumb"), Lines),
    Seat("an automatic run", a_terminal(), Lines, ci=True),
    Seat("lines were asked for", a_terminal(), Lines, plain=True),
    Seat("too narrow", a_terminal(width=39), Lines),
    Seat("too short", a_terminal(height=9), Lines),
)


@pytest.mark.parametrize("seat", SEATS, ids=lambda seat: seat.name)
def test_the_view_is_live_only_where_somebody_can_look(monkeypatch: pytest.MonkeyPatch, seat: Seat) -> None:
    monkeypatch.delenv("CI", raising=False)
    if seat.ci:
        monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(sys, "stdout", Terminal() if seat.tty else io.StringIO())
    assert type(best_show(seat.console, Teller(seat.console), plain=seat.plain)) is seat.expected


async def test_the_live_view_takes_the_other_screen_and_gives_it_back() -> None:
    console = a_terminal()
    async with LiveView(console) as view:
        view.happening(3, "ann vanishes")
        await view.show(a_picture())
        assert printed(console).startswith(ENTER)
        assert "ann vanishes" in printed(console)
        assert LEAVE not in printed(console)
    assert LEAVE in printed(console)


async def test_the_screen_is_given_back_when_the_run_fails() -> None:
    console = a_terminal()
    with pytest.raises(RuntimeError):
        await _failing(LiveView(console))
    assert LEAVE in printed(console)


async def _failing(view: LiveView) -> None:
    async with view:
        raise RuntimeError


async def test_a_picture_that_comes_too_late_is_not_drawn_over_the_summary() -> None:
    console = a_terminal()
    async with LiveView(console) as view:
        pass
    before = printed(console)
    await view.show(a_picture())
    assert printed(console) == before


async def test_numbers_are_masked_in_what_happened() -> None:
    console = a_terminal()
    async with LiveView(console) as view:
        view.waiting("a message to +27820000001")
        await view.show(a_picture())
    assert "+27820000001" not in printed(console)
    assert "+27…01" in printed(console)


async def test_no_colour_is_used_where_none_is_wanted() -> None:
    console = a_terminal(NO_COLOR="1")
    async with LiveView(console) as view:
        await view.show(a_full_picture())
    assert "\x1b[3" not in printed(console).replace("\x1b[3m", "")


async def test_lines_tell_the_same_without_moving_a_cursor() -> None:
    console = Console(file=io.StringIO(), width=WIDTH, highlight=False)
    async with Lines(Teller(console)) as lines:
        await lines.show(a_picture())
        await lines.show(a_picture(phase="settling"))
    page = printed(console)
    assert "\x1b" not in page
    assert page.count("0:10    97  50 │    1     0      1 │       1 │") == 2
    assert "settling" in page
