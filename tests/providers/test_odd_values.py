"""Whatever value stands anywhere in an answer: it is read leniently, or is the provider's fault, and never ours."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.errors import ProxyError
from llmproxy_grpc.messages import (
    CandidateFinish,
    ChatRequest,
    Delta,
    GenerationConfig,
    ProviderResponse,
    ReasoningConfig,
    UpstreamEnd,
)
from llmproxy_grpc.messages.collected import Collected
from llmproxy_grpc.providers.eventstream import FrameReader
from llmproxy_grpc.wire.events import delta_event, finish_event
from llmproxy_grpc.wire.response import fill_candidate
from llmproxy_grpc.wire.scalars import mending
from tests.fakes.eventstream import frame
from tests.fakes.faulty_upstream import Answer
from tests.fakes.structs import struct
from tests.providers.conversations import ask, collected
from tests.providers.http_kind import HttpKind
from tests.providers.test_golden import GOLDEN

ODD = [
    *("true", "1e308", "9" * 4000, "-" + "9" * 4000, "null", r'"\ud800"'),
    *("[[]]", "[{}]", "{}", '{"a":' + "9" * 4000 + "}"),
    *("[" * 300 + r'"\ud800"' + "]" * 300, '{"a":' * 300 + "1" + "}" * 300, '{"thinking":[' * 300 + "]}" * 300),
]
HERE = "@here@"
"""Stands for the odd value while a document is written."""

Place = tuple[str | int, ...]
Rebuild = Callable[[bytes], bytes]


@pytest.mark.parametrize("shown", [True, False], ids=["thinking shown", "thinking hidden"])
async def test_no_value_anywhere_in_an_answer_makes_the_proxy_fail_itself(kind, provider, upstream, shown):
    request = ask(generation=GenerationConfig(reasoning=ReasoningConfig(include=shown)))
    for streamed, body, where in _odd_bodies(kind):
        upstream.script(kind.streaming([body]) if streamed else Answer.json(body))
        with _read_or_refused(where):
            await _answered(provider, request, streamed=streamed)


async def test_nor_does_any_value_in_a_list_of_models(kind, provider, upstream):
    for lists, where in _odd_lists(kind):
        upstream.handler = replace(kind, models=lists).respond
        with _read_or_refused(where):
            await provider.list_models()


@contextmanager
def _read_or_refused(where: str) -> Iterator[None]:
    """Lets the provider's fault pass; any other names the place of the odd value."""
    try:
        yield
    except ProxyError:
        return
    except Exception as error:
        raise AssertionError(where) from error


def _odd_lists(kind: HttpKind) -> Iterator[tuple[dict[str, bytes], str]]:
    for path, body in kind.models.items():
        document = json.loads(body)
        for place in _places(document):
            text = json.dumps(_with(document, place))
            for odd in ODD:
                yield {**kind.models, path: text.replace(f'"{HERE}"', odd).encode()}, f"{path} {place} {odd[:20]}"


async def _answered(provider: Any, request: ChatRequest, *, streamed: bool) -> None:
    """Reads an answer and writes it as the server would."""
    if not streamed:
        _write(await provider.chat(request, "test-model"))
        return
    events = await collected(provider.stream(request, "test-model"))
    for event in events:
        if isinstance(event, Delta):
            delta_event(0, event)
        elif isinstance(event, CandidateFinish):
            finish_event(0, event)
        elif isinstance(event, UpstreamEnd):
            struct(event.provider_metadata)
    together = Collected()
    together.take(events)
    _write(together.response(""))


@mending
def _write(response: ProviderResponse) -> None:
    target = chat_pb2.ChatResponse()
    for candidate in response.candidates:
        fill_candidate(target.candidates.add(), candidate)
    struct(response.provider_metadata)


def _odd_bodies(kind: HttpKind) -> Iterator[tuple[bool, bytes, str]]:
    """Golden exchanges with each odd value at each place, once for all places of the same names."""
    done: set[Any] = set()
    for path in sorted((GOLDEN / kind.name).iterdir()):
        if path.suffix not in {".json", kind.stream_suffix} or path.name.endswith(".expected.json"):
            continue
        streamed = path.suffix != ".json"
        for document, rebuild in _documents(path):
            for place in _places(document):
                names = tuple(step for step in place if isinstance(step, str))
                key = (streamed, document.get("type") if isinstance(document, dict) else None, len(place), names)
                if key in done:
                    continue
                done.add(key)
                text = json.dumps(_with(document, place))
                for odd in ODD:
                    yield streamed, rebuild(text.replace(f'"{HERE}"', odd).encode()), f"{path.name} {place} {odd[:20]}"


def _documents(path: Path) -> Iterator[tuple[Any, Rebuild]]:
    """The documents of a file, each with what writes the file with another one in its place."""
    data = path.read_bytes()
    if path.suffix == ".json":
        yield json.loads(data), lambda document: document
    elif path.suffix == ".bin":
        frames = list(FrameReader().feed(data))
        written = [frame(each.name, each.payload, message_type=each.message_type) for each in frames]
        for at, each in enumerate(frames):
            yield json.loads(each.payload), _frames_with(written, at, each.name, each.message_type)
    else:
        lines = data.split(b"\n")
        for at, line in enumerate(lines):
            text = line.strip().removeprefix(b"data:").strip()
            if text.startswith(b"{"):
                yield json.loads(text), _lines_with(lines, at, b"data: " if b"data:" in line else b"")


def _frames_with(frames: list[bytes], at: int, name: str, message_type: str) -> Rebuild:
    return lambda document: b"".join(
        [*frames[:at], frame(name, document, message_type=message_type), *frames[at + 1 :]]
    )


def _lines_with(lines: list[bytes], at: int, field: bytes) -> Rebuild:
    return lambda document: b"\n".join([*lines[:at], field + document, *lines[at + 1 :]])


def _places(value: Any, place: Place = ()) -> Iterator[Place]:
    yield place
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in entries:
        yield from _places(item, (*place, step))


def _with(value: Any, place: Place) -> Any:
    """A copy of a value that has the mark at a place."""
    if not place:
        return HERE
    step, *more = place
    copy = value.copy()
    copy[step] = _with(value[step], tuple(more))
    return copy
