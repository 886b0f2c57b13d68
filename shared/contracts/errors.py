"""The one error a contract knows: a message that will never be acceptable."""


class Rejected(Exception):  # noqa: N818 - the house word; it names an outcome, not a fault of ours
    """This message never will be handled, however often it is tried.

    Attributes:
        reason: a stable, machine-readable word, e.g. ``broken_json``.
        detail: one sentence a person understands, naming the field at fault.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
