"""What an operator is told when a command cannot do what it was asked."""


class Refusal(Exception):  # noqa: N818 - a command is refused; the command line itself works
    """The command ends with exit code 1; the message, one line for each thing at fault, is all it says."""
