"""What the fake provider remembers: every request in the order it came, and every receipt it sent."""

from pathlib import Path
from typing import Any, Literal, TextIO

from pydantic import AwareDatetime, BaseModel, ConfigDict

from ops.fake_provider.receipts import ProviderReceipt


class Call(BaseModel):
    """One request to send. ``accepted`` says whether the message is on its way, whatever was answered."""

    model_config = ConfigDict(frozen=True)

    entry: Literal["call"] = "call"
    number: int
    at: AwareDatetime
    account: str
    recipient: str
    kind: str
    correlation_id: str | None
    answer: str
    code: int | None
    accepted: bool
    wamid: str | None
    body: dict[str, Any]


class Log:
    """Append-only, in memory and, given a path, as JSON lines."""

    def __init__(self, path: Path | None = None) -> None:
        self.calls: list[Call] = []
        self.receipts: list[ProviderReceipt] = []
        self._file: TextIO | None = None if path is None else path.open("a", encoding="utf-8")

    def add(self, entry: Call | ProviderReceipt) -> None:
        """Remember a request or a receipt."""
        if isinstance(entry, Call):
            self.calls.append(entry)
        else:
            self.receipts.append(entry)
        if self._file is not None:
            self._file.write(entry.model_dump_json() + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
