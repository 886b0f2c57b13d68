"""``python -m ops.fake_provider``: the fake provider alone, or with its receipts on Kafka."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Annotated

import typer
from aiokafka import AIOKafkaProducer

from ops.fake_provider.events import KafkaReceipts
from ops.fake_provider.provider import FakeProvider, Tell
from ops.fake_provider.script import Script
from ops.fake_provider.serving import serving


def main(
    *,
    port: Annotated[int, typer.Option(help="0 picks a free one.")] = 0,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines call.")] = "127.0.0.1",
    script: Annotated[Path | None, typer.Option(help="A JSON file; see `Script`.")] = None,
    log: Annotated[Path | None, typer.Option(help="Append requests and receipts here.")] = None,
    secret: Annotated[str | None, typer.Option(help="The only bearer token to take.")] = None,
    kafka: Annotated[str | None, typer.Option(help="Bootstrap servers to publish receipts to.")] = None,
    topic_prefix: Annotated[str, typer.Option(envvar="CHATDESK_TOPIC_PREFIX")] = "",
) -> None:
    """Serve until interrupted."""
    told = Script() if script is None else Script.model_validate_json(script.read_bytes())
    asyncio.run(
        _serve(
            port=port, host=host, script=told, log=log, secret=secret, kafka=kafka, topic_prefix=topic_prefix
        )
    )


async def _serve(
    *,
    port: int,
    host: str,
    script: Script,
    log: Path | None,
    secret: str | None,
    kafka: str | None,
    topic_prefix: str,
) -> None:
    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    async with contextlib.AsyncExitStack() as stack:
        tell: Tell | None = None
        if kafka is not None:
            producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", linger_ms=5)
            await producer.start()
            stack.push_async_callback(producer.stop)
            tell = KafkaReceipts(producer, topic_prefix).tell
        provider = FakeProvider(script, tell=tell, log_path=log, secret=secret)
        url = await stack.enter_async_context(serving(provider, port, host))
        typer.echo(f"the fake provider listens on {url}")
        await stopped.wait()


if __name__ == "__main__":
    typer.run(main)
