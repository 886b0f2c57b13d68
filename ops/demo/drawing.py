"""Draws a picture of the centre on a terminal of any size. What does not fit is left out."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ops.demo.picture import Agent, Counts, Department, Picture, Waiting

HEAD_ROWS, FLOW_ROWS, FRAME_ROWS = 1, 2, 2
_FEWEST_COUNTS, _ENOUGH_COUNTS, _MOST_COUNTS = 2, 5, 9
_CELL, _COUNTS_WIDTH, _WIDE, _NARROW = 19, 20, 110, 60
_MOST_SLOTS = 4
_EDGES = 4
"""Columns that a frame takes of a part's width."""
_WIDE_REASONS = 32
_SPARKS = "▁▂▃▄▅▆▇█"
_UNEASY_LAG, _BAD_LAG = 2.0, 10.0
_LONG_WAIT = 3.0
_STATES = {"online": ("", "green"), "draining": ("last", "magenta"), "away": ("away", "yellow")}
_GONE = ("gone", "dim")


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows of content each part gets; 0: it is not shown. Parts in a frame take two more."""

    departments: int
    counts: int
    agents: int
    happenings: int
    """Framed where there is room for more than one."""


def share(height: int, departments: int, agents: int) -> Rows:
    """Share the rows of a terminal out: the queues first, then what was counted, who works, what happened."""
    left = max(0, height - HEAD_ROWS - FLOW_ROWS)
    first = _framed(left, departments + 1, fewest=2)
    left -= _cost(first)
    counted = _framed(left, _ENOUGH_COUNTS, fewest=_FEWEST_COUNTS)
    left -= _cost(counted)
    working = _framed(left, agents, fewest=2)
    left -= _cost(working)
    more = min(_MOST_COUNTS - counted, max(0, left - 6)) if counted else 0
    left -= more
    return Rows(first, counted + more, working, left if left <= FRAME_ROWS else left - FRAME_ROWS)


def draw(picture: Picture, happenings: Sequence[str], width: int, height: int) -> RenderableType:
    """Return what fills a terminal of this size."""
    across = max(1, (width - 4) // _CELL)
    rows = share(height, len(picture.departments), -(-len(picture.agents) // across))
    parts: list[RenderableType] = [_head(picture, width)]
    if rows.departments:
        parts.append(_framed_as("departments", _departments(picture.departments, rows.departments, width)))
    if rows.agents:
        parts.append(_agents(picture.agents, across, rows.agents))
    if rows.counts:
        parts.append(_counted(picture, rows.counts, width))
    if height >= HEAD_ROWS + FLOW_ROWS:
        parts += _flow(picture, width)
    if rows.happenings:
        parts.append(_happened(picture, happenings, rows.happenings, width))
    return Group(*parts)


def _framed(left: int, wanted: int, *, fewest: int) -> int:
    room = min(wanted, left - FRAME_ROWS)
    return room if room >= min(fewest, wanted) else 0


def _cost(rows: int) -> int:
    return rows + FRAME_ROWS if rows else 0


def _framed_as(title: str, content: RenderableType) -> Panel:
    return Panel(content, title=title, title_align="left", box=ROUNDED, border_style="bright_black")


def _line(*parts: tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _head(picture: Picture, width: int) -> RenderableType:
    moment = picture.moment
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True, justify="right")
    bar = ProgressBar(total=moment.duration, completed=min(moment.seconds, moment.duration))
    clock = f"{_clock(min(moment.seconds, moment.duration))} of {_clock(moment.duration)}"
    said = clock if width < _NARROW else f"{clock}  {picture.messages:,} messages"
    grid.add_row(_line((moment.phase, "bold")), bar, _line((said, "bold")))
    return grid


def _departments(departments: Sequence[Department], rows: int, width: int) -> Table:
    """Cut names, and leave columns out, rather than cut a figure."""
    brief = width < _NARROW
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", no_wrap=True)
    for title in ("queue", "oldest", "online", *(() if brief else ("in hand", "tickets"))):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, ratio=1)
    for one in departments[: rows - 1]:
        waits = "-" if one.oldest_wait is None else f"{one.oldest_wait:.1f} s"
        table.add_row(
            Text(_cut(one.name, max(8, width - 70)), style="bold"),
            Text(str(one.queued), style="yellow" if one.queued else ""),
            Text(waits, style="red" if (one.oldest_wait or 0) >= _LONG_WAIT else ""),
            f"{one.online} of {one.people}",
            *(() if brief else (f"{one.load} of {one.capacity}", str(one.tickets))),
            _room(one),
        )
    return table


def _room(one: Department) -> RenderableType:
    if one.opens_at is not None:
        return Text(f"closed, opens {one.opens_at:%H:%M} UTC", style="dim", no_wrap=True, overflow="ellipsis")
    style = "red" if one.load >= one.capacity else "green"
    return ProgressBar(
        total=max(1, one.capacity), completed=min(one.load, one.capacity), complete_style=style
    )


def _cut(name: str, room: int) -> str:
    return name if len(name) <= room else f"{name[: room - 1]}…"


def _agents(agents: Sequence[Agent], across: int, rows: int) -> Panel:
    shown = agents[: rows * across]
    # Down the columns, so that a name stays where it is whatever comes and goes elsewhere.
    deep = -(-len(shown) // across)
    lines = Text(no_wrap=True, overflow="ellipsis")
    for row in range(deep):
        for one in shown[row::deep]:
            lines.append_text(_person(one))
        lines.append("\n" if row < deep - 1 else "")
    cut = len(shown) < len(agents)
    return _framed_as(f"agents, {len(shown)} of {len(agents)}" if cut else "agents", lines)


def _person(one: Agent) -> Text:
    word, style = _STATES.get(one.state, _GONE)
    if one.capacity > _MOST_SLOTS:
        slots = f"{one.load}/{one.capacity}"
    else:
        slots = "●" * one.load + "○" * max(0, one.capacity - one.load)
    # A cut name says more than a cut state.
    name = f"{_cut(one.name, 8):<8} "
    told = f"{slots:<{_MOST_SLOTS}} {word}"[: _CELL - len(name)]
    return Text.assemble(
        (name, "" if one.state == "online" else style), (f"{told:<{_CELL - len(name)}}", style)
    )


def _counted(picture: Picture, rows: int, width: int) -> Table:
    drawn: tuple[tuple[str, int, Callable[[Picture, int, int], Text]], ...] = (
        ("chats", 17, lambda one, rows, room: _tally(one.chats, rows, room)),
        ("refused", 24, _refused),
        ("sends", 17, lambda one, rows, room: _tally(one.deliveries, rows, room)),
        ("tickets", 22, _tickets),
    )
    shown = drawn[: max(1, width // _COUNTS_WIDTH)]
    widths = _parted(width, [share for _, share, _ in shown])
    return _side_by_side(
        widths,
        [
            _framed_as(title, of(picture, rows, room - _EDGES))
            for (title, _, of), room in zip(shown, widths, strict=True)
        ],
    )


def _parted(width: int, shares: Sequence[int]) -> list[int]:
    """Part a width by shares, to the last column."""
    ends = [width * sum(shares[: number + 1]) // sum(shares) for number in range(len(shares))]
    return [end - start for start, end in pairwise([0, *ends])]


def _side_by_side(widths: Sequence[int], panels: Sequence[Panel]) -> Table:
    """Stand panels in a row. Their widths are given, since measuring them costs more than drawing them."""
    grid = Table.grid()
    for width in widths:
        grid.add_column(width=width)
    grid.add_row(*panels)
    return grid


def _tally(counts: Counts, rows: int, room: int) -> Text:
    """One word a line with its count, as many as there is room for; the rest in one."""
    fits = len(counts) <= rows
    shown = counts if fits else counts[: rows - 1]
    lines = [*shown] if fits else [*shown, ("…", sum(count for _, count in counts[rows - 1 :]))]
    text = Text(no_wrap=True, overflow="ellipsis")
    for word, count in lines:
        told = f" {count:,}"
        left = max(1, room - len(told))
        text.append(f"{_cut(word.replace('_', ' '), left):<{left}}")
        text.append(f"{told}\n", "bold")
    text.append("\n" * (rows - len(lines)))
    return text[:-1]


def _refused(picture: Picture, rows: int, room: int) -> Text:
    """Show reasons, and with room for it whether a chat's or ticket's command or a send had it."""
    if room >= _WIDE_REASONS:
        return _tally(tuple((f"{of}: {reason}", count) for of, reason, count in picture.refusals), rows, room)
    reasons: Counter[str] = Counter()
    for _, reason, count in picture.refusals:
        reasons[reason] += count
    return _tally(tuple(reasons.most_common()), rows, room)


def _tickets(picture: Picture, rows: int, room: int) -> Text:
    opened, closed = picture.open_tickets, picture.closed_tickets
    totals = (("open", sum(count for _, count in opened)), ("closed", sum(count for _, count in closed)))
    return _tally(
        (
            totals[0],
            *((f"  {why}", count) for why, count in opened[: max(0, rows - 3)]),
            totals[1],
            *((f"  {why}", count) for why, count in closed[: max(0, rows - 2 - len(opened))]),
        ),
        rows,
        room,
    )


def _flow(picture: Picture, width: int) -> list[RenderableType]:
    latency = picture.latency
    took = "-" if latency is None else f"p50 {latency.p50:.0f} ms  p99 {latency.p99:.0f} ms"
    sparks = _sparks(picture.rates[-(12 if width < _WIDE else 40) :])
    parts = [
        (" message to agent  ", "dim"),
        (took, "bold"),
        ("   in  ", "dim"),
        (f"{picture.rate}/s ", "bold"),
    ]
    lags = [part for name, lag in picture.moment.lags.items() for part in _lag(name, lag)]
    return [_line(*parts, (sparks, "cyan")), _line((" lag ", "dim"), *lags)]


def _lag(name: str, lag: float | None) -> tuple[tuple[str, str], ...]:
    if lag is None:
        return ((f" {name} ", ""), ("behind ", "yellow"))
    style = "bold red" if lag >= _BAD_LAG else "yellow" if lag >= _UNEASY_LAG else "bold"
    return ((f" {name} ", ""), (f"{lag:.1f} s ", style))


def _sparks(rates: Sequence[int]) -> str:
    top = max(rates, default=0) or 1
    return "".join(_SPARKS[min(len(_SPARKS) - 1, rate * len(_SPARKS) // top)] for rate in rates)


def _happened(picture: Picture, happenings: Sequence[str], rows: int, width: int) -> RenderableType:
    if rows <= FRAME_ROWS:
        last = list(happenings)[-rows:]
        return Group(*(_line((f" · {line}", "dim")) for line in last))
    told = list(happenings)[-rows:]
    said = _framed_as("happened", _lines([*told, *[""] * (rows - len(told))]))
    if width < _WIDE:
        return said
    most = max(picture.rates, default=0)
    widths = _parted(width, (1, 1, 1))
    return _side_by_side(
        widths,
        [
            said,
            _framed_as("waits longest", _longest(picture.longest, rows, widths[1] - _EDGES)),
            _framed_as(f"messages a second, up to {most}", _chart(picture.rates, rows, widths[2] - _EDGES)),
        ],
    )


def _longest(waiting: Sequence[Waiting], rows: int, room: int) -> Text:
    lines = []
    for one in waiting[:rows]:
        waited = f" {one.seconds:.1f} s"
        lines.append(
            f"{_cut(f'{one.customer}  {one.department}', room - len(waited)):<{room - len(waited)}}{waited}"
        )
    return _lines([*lines, *[""] * (rows - len(lines))])


def _lines(lines: Sequence[str]) -> Text:
    return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")


def _chart(rates: Sequence[int], rows: int, room: int) -> Text:
    """Stand the last seconds side by side as columns, the newest on the right."""
    top = max(rates, default=0) or 1
    heights = [round(rate * rows * len(_SPARKS) / top) for rate in rates[-room:]]
    lines = []
    for row in reversed(range(rows)):
        filled = (min(len(_SPARKS), max(0, height - row * len(_SPARKS))) for height in heights)
        lines.append("".join(f" {_SPARKS}"[eighths] for eighths in filled).rjust(room))
    return Text("\n".join(lines), style="cyan", no_wrap=True)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
