"""B3: read a message and write what routing says of it, by pydantic alone; no check beyond the models'."""

import sys
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bench.measured import Measured, tell
from bench.sample import load
from shared.contracts import cloudevents
from shared.contracts.event import Event
from shared.contracts.inbound_messages import MessageReceived


def main(count: int, path: Path) -> None:
    """Decode ``count`` messages, encode the events for each, and print the measurement."""
    sample = load(path)
    generic: Any = Event
    reads = TypeAdapter(generic[MessageReceived]).validator.validate_json
    published = [[cloudevents.decode(value) for _, value in records] for records in sample.published]
    inbound = [value for _, value in islice(cycle(sample.inbound), count)]
    answers = list(islice(cycle(published), count))
    writes = TypeAdapter(Any).dump_json
    started, cpu = time.perf_counter(), time.process_time()
    for value, events in zip(inbound, answers, strict=True):
        reads(value)
        for event in events:
            writes(event, by_alias=True, exclude_none=True)
    tell(Measured(count, time.perf_counter() - started, time.process_time() - cpu))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
