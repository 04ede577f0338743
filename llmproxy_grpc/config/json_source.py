"""Reads JSON files, with a line for each value: YAML parsers stumble over its tabs and surrogate pairs."""

import re
from json.decoder import JSONDecodeError, JSONDecoder
from typing import Final

from llmproxy_grpc.config.faults import ConfigFault
from llmproxy_grpc.config.tree import KeyPath, Node, Source, spell
from llmproxy_grpc.config.yaml_source import DEEPEST

_SPACE: Final = re.compile(r"[ \t\n\r]*")


def read_json(text: str, source: Source, faults: list[ConfigFault], path: KeyPath = ()) -> Node | None:
    """Reads one JSON value that stands at `path`.

    Appends what is wrong to `faults`. Returns None if the text cannot be read.
    """
    reader = _Reader(text, source, faults)
    try:
        return reader.document(path)
    except JSONDecodeError as error:
        faults.append(ConfigFault(source.name, error.lineno, spell(path), None, f"is not JSON: {error.msg}"))
    except ValueError:
        faults.append(ConfigFault(source.name, reader.line, spell(path), None, "is not JSON: a number that is none"))
    return None


class _Reader:
    """Walks over the text; scalars are the standard library's business, containers are ours."""

    def __init__(self, text: str, source: Source, faults: list[ConfigFault]) -> None:
        self._text = text
        self._source = source
        self._faults = faults
        self._position = 0
        self._counted = 0
        self._decoder = JSONDecoder(parse_constant=_refuse)
        self.line = 1

    def document(self, path: KeyPath) -> Node:
        node = self._value(path)
        if self._next_character():
            self._stop("more text behind the value")
        return node

    def _value(self, path: KeyPath, line: int | None = None) -> Node:
        character = self._next_character()
        line = self.line if line is None else line
        if character not in {"{", "["}:
            return Node(self._scalar(path, line), self._source, line)
        if len(path) >= DEEPEST:
            self._stop(f"nested deeper than {DEEPEST} levels")
        self._position += 1
        return Node(self._object(path) if character == "{" else self._array(path), self._source, line)

    def _scalar(self, path: KeyPath, line: int) -> str | int | float | bool | None:
        value: str | int | float | bool | None
        value, self._position = self._decoder.raw_decode(self._text, self._position)
        if isinstance(value, str) and re.search("[\ud800-\udfff]", value):
            self._fault(line, path, "is not Unicode text")
            return "?"
        if isinstance(value, int | float) and not -(2**63) <= value < 2**63:
            self._fault(line, path, "is a number out of range")
            return 0
        return value

    def _object(self, path: KeyPath) -> dict[str, Node]:
        pairs: dict[str, Node] = {}
        more = self._next_character() != "}"
        while more:
            if self._next_character() != '"':
                self._stop("a key in double quotes is missing")
            line = self.line
            key = str(self._scalar(path, line))
            self._expect(":")
            if key in pairs:
                self._fault(line, (*path, key), f"is there twice, first in line {pairs[key].line}")
            pairs[key] = self._value((*path, key), line)
            more = self._next_character() == ","
            self._position += more
        self._expect("}")
        return pairs

    def _array(self, path: KeyPath) -> tuple[Node, ...]:
        entries: list[Node] = []
        more = self._next_character() != "]"
        while more:
            entries.append(self._value((*path, len(entries))))
            more = self._next_character() == ","
            self._position += more
        self._expect("]")
        return tuple(entries)

    def _next_character(self) -> str:
        """Skips space, and keeps count of the lines."""
        space = _SPACE.match(self._text, self._position)
        self._position = space.end() if space else self._position
        self.line += self._text.count("\n", self._counted, self._position)
        self._counted = self._position
        return self._text[self._position : self._position + 1]

    def _expect(self, character: str) -> None:
        if self._next_character() != character:
            self._stop(f"a {character} is missing")
        self._position += 1

    def _fault(self, line: int, path: KeyPath, message: str) -> None:
        self._faults.append(ConfigFault(self._source.name, line, spell(path), None, message))

    def _stop(self, message: str) -> None:
        raise JSONDecodeError(message, self._text, self._position)


def _refuse(word: str) -> None:
    raise ValueError(word)
