"""What is wrong with an event, in words its publisher understands."""

from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shared.contracts.errors import Rejected
from shared.contracts.fields import WALL_TIME

_WORDS = {
    "missing": "is missing",
    "union_tag_not_found": "must name its kind",
    "string_type": "must be a string",
    "string_unicode": "must be Unicode text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "tuple_type": "must be a list",
    "finite_number": "must be a finite number",
    "date_type": "must be a date such as 2027-12-31",
    "date_from_datetime_parsing": "must be a date such as 2027-12-31",
    "string_pattern_mismatch": "must look like {pattern}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "value_error": "{error}",
}
_LOOKS = {WALL_TIME: "must be a time from 00:00 to 23:59, as HH:MM"}
"""What must look like a pattern that says little to people."""


def rejection(error: ValidationError) -> Rejected:
    """Name the first field at fault and what is wrong with it. Never repeats the value: it may be private."""
    faults = error.errors(include_url=False, include_input=False)
    first = faults[0]
    words = in_words(first)
    path = _path(first["loc"])
    more = "" if len(faults) == 1 else f" (and {len(faults) - 1} more)"
    return Rejected(_reason(first, words), f"{path} {words}{more}")


def _reason(fault: ErrorDetails, words: str) -> str:
    if fault["loc"][:1] == ("data",):
        return "invalid_data"
    if fault["type"] == "missing":
        return "missing_attribute"
    return "naive_time" if words == "must carry a time zone" else "invalid_attribute"


def in_words(fault: ErrorDetails) -> str:
    """Say what is wrong with one field, to follow its name."""
    context = fault.get("ctx", {})
    words = _LOOKS.get(context.get("pattern", ""), _WORDS.get(fault["type"]))
    return f"is not valid: {fault['msg']}" if words is None else words.format_map(context)


def _path(location: Sequence[int | str]) -> str:
    """Write ``data.content.text``: the chosen class of a content is no part of what its publisher wrote."""
    steps: list[str] = []
    after_content = False
    for step in location:
        if not after_content:
            steps.append(str(step))
        after_content = step == "content" and not after_content
    return ".".join(steps)
