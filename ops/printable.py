"""Foreign text for a terminal: whoever may publish must not be able to move an operator's cursor."""

_LAYOUT = "\n\t"


def printable(text: str) -> str:
    """Return text with its control and invisible characters written as escapes; lines and tabs stay."""
    return "".join(
        one if one.isprintable() or one in _LAYOUT else one.encode("unicode_escape").decode() for one in text
    )
