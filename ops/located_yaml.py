"""YAML as people write it by hand, with the line of everything in it.

Plain words mean what they look like: `10:00` is text and no number to base 60, `no` is text, a number
with a plus is a telephone number. YAML's older readers say otherwise.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

Path: TypeAlias = tuple[str | int, ...]

_DEEPEST = 32
_MOST = 200_000
"""Values in one file, each alias counted as often as it is used."""
_PLAIN_TAGS = {
    yaml.ScalarNode: "tag:yaml.org,2002:str",
    yaml.SequenceNode: "tag:yaml.org,2002:seq",
    yaml.MappingNode: "tag:yaml.org,2002:map",
}
_WORDS: Mapping[str, Any] = {
    "": None,
    "~": None,
    "null": None,
    "true": True,
    "false": False,
}
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)").fullmatch
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+").fullmatch


class BadYaml(Exception):  # noqa: N818 - it is the YAML that is bad
    """The text cannot be read; ``line`` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


@dataclass(slots=True)
class Located:
    """What a text says, and the line on which each part of it begins."""

    value: Any
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """Return the line of a part, or of the nearest part around it."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]


def read(text: str) -> Located:
    """Read one YAML document. Raises BadYaml at the first thing that cannot be read."""
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BadYaml(mark.line + 1 if mark else 1, error.problem or "is no YAML") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadYaml(line, f"a character that no text has: {error.reason}") from None
    tree = _Tree()
    value = None if root is None else tree.value(root, ())
    return Located(value, {(): 1, **tree.lines})


@dataclass(slots=True)
class _Tree:
    """The values of a tree of nodes, and their lines."""

    lines: dict[Path, int] = field(default_factory=dict)
    values: int = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self.values += 1
        if len(path) > _DEEPEST or self.values > _MOST:
            raise BadYaml(line, f"the file nests deeper than {_DEEPEST} levels or repeats itself without end")
        if node.tag != _PLAIN_TAGS[type(node)]:
            raise BadYaml(line, f"the tag {node.tag} is not read here: write the value plainly")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(one, (*path, nth)) for nth, one in enumerate(node.value)]
        return _scalar(node.value, is_plain=getattr(node, "style", None) is None)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, one in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise BadYaml(line, "a name before a colon must be a plain word")
            if key.value in found:
                raise BadYaml(
                    line, f"{key.value!r} is there twice; the first is on line {self.lines[*path, key.value]}"
                )
            self.lines[*path, key.value] = line
            found[key.value] = self.value(one, (*path, key.value))
        return found


def _scalar(text: str, *, is_plain: bool) -> Any:
    """Return what a word means; a quoted one is text, whatever it looks like."""
    if not is_plain:
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _WHOLE_NUMBER(text):
        return int(text)
    return float(text) if _NUMBER(text) else text
