from ops.refusal import Refusal


class StackError(Refusal):
    """The stack cannot be had; the message is one line that says why and what to do about it."""
