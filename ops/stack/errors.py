class StackError(Exception):
    """The stack cannot be had; the message is one line that says why and what to do about it."""
