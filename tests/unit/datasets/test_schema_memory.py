"""What exports remember of the schemas of tools: those that come again, and whatever comes in little room."""

import gc
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from llmproxy_grpc.datasets.formats import draft7
from llmproxy_grpc.datasets.formats.gemini_schema import is_plain
from llmproxy_grpc.datasets.formats.json_text import parameters_of
from llmproxy_grpc.datasets.formats.schema_memory import EACH, ROOM, remembering
from llmproxy_grpc.messages import FunctionTool

MIB = 1024 * 1024


def schema(number: int, *, size: int, **fields: Any) -> str:
    return json.dumps({"type": "object", "title": f"{number}", "description": "d" * size, **fields})


def parameters(number: int) -> None:
    parameters_of(FunctionTool(name="f", parameters_json_schema=schema(number, size=MIB // 4)))


def plain(number: int) -> None:
    assert is_plain(schema(number, size=MIB // 4).encode())


def valid(number: int) -> None:
    assert draft7.is_valid(schema(number, size=MIB // 4).encode())


def kept_of(look: Callable[[int], None], count: int) -> int:
    """How many bytes so many schemas leave in memory."""
    look(0)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(1, count + 1):
            look(number)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("look", [parameters, plain, valid])
def test_long_schemas_take_so_much_room_and_no_more(look: Callable[[int], None]):
    assert kept_of(look, 40) < 2.2 * ROOM  # of 2.5 or, with what is written of them, of 5 times that


def test_long_patterns_leave_nothing_behind():
    def look(number: int) -> None:
        assert draft7.is_valid(schema(number, size=0, pattern=f"{number}" + "p" * (MIB // 256)).encode())

    assert kept_of(look, 8) < MIB / 8  # compiled they are eight times as long


@pytest.mark.parametrize("size", [2, MIB])
def test_a_schema_that_comes_again_is_looked_at_once(size: int):
    seen: list[str] = []
    look = remembering(seen.append)
    for _ in range(3):
        look("x" * size)
    assert len(seen) == 1


def test_short_schemas_without_end_are_forgotten_as_well():
    seen: list[str] = []
    look = remembering(seen.append)
    schemas = [f"{number}" for number in range(ROOM // EACH)]
    for each in (*schemas, *schemas):
        look(each)
    assert len(seen) == 2 * len(schemas)
