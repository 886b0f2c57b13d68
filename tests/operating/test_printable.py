import asyncio
import io

import pytest
from rich.console import Console

from ops.printable import printable
from ops.topics import _tail
from tests.conftest import Installation
from tests.topics import publish_raw

FOREIGN = {
    "plain words, umlauts and emoji stay": ("Grüße 👋", "Grüße 👋"),
    "lines and tabs stay": ("a\n\tb", "a\n\tb"),
    "a cursor is not moved": ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
    "a line is not written over": ("good\rbad", "good\\rbad"),
    "words are not turned around": ("\u202egnp.exe", "\\u202egnp.exe"),
    "C1 controls neither": ("\x9b2J", "\\x9b2J"),
}


@pytest.mark.parametrize(("text", "shown"), FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_text_cannot_steer_a_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


async def test_tail_shows_a_hostile_record_and_goes_on(installation: Installation) -> None:
    settings = installation.settings
    await publish_raw(
        settings,
        [
            ("chats.v1", b"[/cyan] \x1b[2J", b"[bold] \x1b[31m no JSON", []),
            ("chats.v1", b"[/cyan] \x1b[2J", b'{"next": 1}', []),
        ],
    )
    output = io.StringIO()
    console = Console(file=output, force_terminal=False)
    topic = settings.topic_prefix + "chats.v1"
    async with asyncio.timeout(30):
        await _tail(settings.kafka, topic, console, beginning=True, until_end=True)
    assert "\x1b" not in output.getvalue()
    assert "[/cyan] \\x1b[2J" in output.getvalue()
    assert '"next": 1' in output.getvalue()
