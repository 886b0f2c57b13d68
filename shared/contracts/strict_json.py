"""JSON as strictly as a contract needs it: nothing that another reader or the database may take otherwise."""

import json
from typing import Any, NoReturn

from shared.contracts.errors import Rejected


def parse(value: bytes) -> Any:
    """Parse one JSON document.

    Raises Rejected (``broken_json``) for what is no JSON, for a key that appears twice, NaN, lone
    surrogates, U+0000 and whatever is too deep or too long to be a number.
    """
    try:
        text = value.decode()
        document = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise Rejected("broken_json", f"byte {error.start} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise Rejected("broken_json", f"{error.msg} at line {error.lineno} column {error.colno}") from error
    except RecursionError as error:
        raise Rejected("broken_json", "the document nests too deeply") from error
    except ValueError as error:
        raise Rejected("broken_json", "a number has too many digits") from error
    if "\\u" in text:
        _require_storable(document)
    return document


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Rejected("broken_json", f"the key {twice!a} appears twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise Rejected("broken_json", f"{name} is no number in JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)


def _require_storable(document: Any) -> None:
    """Only an escape can bring in a lone surrogate or U+0000, which PostgreSQL refuses in any text."""
    level = [document]
    while level:
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.keys()
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, str):
                _require_storable_text(value)
        level = inner


def _require_storable_text(text: str) -> None:
    if "\x00" in text:
        raise Rejected("broken_json", "the document holds the character U+0000, which no text may")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Rejected("broken_json", "the document holds half a surrogate pair") from error
