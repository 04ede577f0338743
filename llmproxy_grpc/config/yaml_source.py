"""Reads YAML, as much as a configuration needs: no tags, aliases and duplicate keys, and a line for each value."""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from llmproxy_grpc.config.faults import ConfigFault
from llmproxy_grpc.config.scalars import resolve_scalar
from llmproxy_grpc.config.tree import KeyPath, Node, Source, spell

DEEPEST: Final = 32
"""Levels of nesting; the schema needs six."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Unreadable(Exception):
    """The text cannot be read on from here."""


def read_yaml(text: str, source: Source, faults: list[ConfigFault], path: KeyPath = ()) -> Node | None:
    """Reads one document that stands at `path`; text without content is null.

    Appends what is wrong to `faults`. Returns None if the text cannot be read at all.
    """
    reader = _Reader(source, faults)
    try:
        text.encode()
        return reader.document(yaml.parse(text, Loader=_LOADER), path)
    except _Unreadable:
        return None
    except UnicodeEncodeError:
        faults.append(ConfigFault(source.name, None, spell(path), None, "is not Unicode text"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None and source.is_file else None
        # `problem` names at most one character of the text; str(error) would quote a line, with its secret.
        words = getattr(error, "problem", None) or "holds a character that YAML does not allow"
        faults.append(ConfigFault(source.name, line, spell(path), None, f"is not YAML: {words}"))
    return None


class _Reader:
    """Turns the parser's events into nodes; the depth is bounded, so recursion is safe."""

    def __init__(self, source: Source, faults: list[ConfigFault]) -> None:
        self._source = source
        self._faults = faults

    def document(self, events: Iterator[Any], path: KeyPath) -> Node:
        node: Node | None = None
        for event in events:
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            if node is not None:
                self._fault("must be one document; remove what follows ---", path, event)
                raise _Unreadable
            node = self._node(events, next(events), path)
        return node or Node(None, self._source, self._line(None))

    def _node(self, events: Iterator[Any], event: Any, path: KeyPath, line: int | None = None) -> Node:
        line = self._line(event) if line is None else line
        if isinstance(event, yaml.AliasEvent):
            self._fault("is an alias; write the value out", path, event)
            return Node(None, self._source, line)
        if event.anchor is not None:
            self._fault("has an anchor; anchors are not allowed", path, event)
        if event.tag is not None:
            self._fault("has a tag; tags are not allowed", path, event)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path, line)
        if len(path) >= DEEPEST:
            self._fault(f"is nested deeper than {DEEPEST} levels", path[:4], event)
            raise _Unreadable
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(tuple(self._entries(events, path)), self._source, line)
        return Node(self._pairs(events, path), self._source, line)

    def _scalar(self, event: Any, path: KeyPath, line: int | None) -> Node:
        if not event.implicit[0]:
            return Node(event.value, self._source, line)
        try:
            return Node(resolve_scalar(event.value), self._source, line)
        except ValueError as error:
            self._fault(str(error), path, event)
            return Node(event.value, self._source, line)

    def _entries(self, events: Iterator[Any], path: KeyPath) -> Iterator[Node]:
        for index, event in enumerate(events):
            if isinstance(event, yaml.SequenceEndEvent):
                return
            yield self._node(events, event, (*path, index))

    def _pairs(self, events: Iterator[Any], path: KeyPath) -> dict[str, Node]:
        pairs: dict[str, Node] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent):
                self._fault("has a key that is no word", path, event)
                raise _Unreadable
            inner = (*path, event.value)
            if event.tag is not None or event.anchor is not None:
                self._fault("has a key with a tag or an anchor; they are not allowed", inner, event)
            node = self._node(events, next(events), inner, self._line(event))
            if event.value in pairs:
                self._fault(self._twice(pairs[event.value]), inner, event)
            pairs[event.value] = node
        return pairs

    def _twice(self, first: Node) -> str:
        return "is there twice" if first.line is None else f"is there twice, first in line {first.line}"

    def _line(self, event: Any) -> int | None:
        if not self._source.is_file:
            return None
        return 1 if event is None else int(event.start_mark.line) + 1

    def _fault(self, message: str, path: KeyPath, event: Any) -> None:
        self._faults.append(ConfigFault(self._source.name, self._line(event), spell(path), None, message))
