"""Hugging Face datasets reads every format of JSON lines, all shapes in one file."""

import json

import pytest
from datasets import load_dataset
from msgspec.structs import replace

from llmproxy_grpc.datasets.options import Format
from llmproxy_grpc.messages import FunctionTool
from tests.fakes.examples import EVERY_SHAPE, PLAIN, PREFERENCE, assistant, example, user

PAIRED = {name: replace(made, pair=PREFERENCE.pair, label=True) for name, made in EVERY_SHAPE.items()}


@pytest.mark.parametrize("form", [form for form in Format if form is not Format.CSV], ids=lambda form: form.name)
def test_a_file_of_all_shapes_loads_with_all_its_rows(form, write, tmp_path):
    shapes = dict(PAIRED)
    if form is Format.BEDROCK_CONVERSE:
        # It has schemas of tools as JSON and not as text, and a table has one type for each of their fields.
        del shapes["rich schema"]
    path, names, _ = write(form, shapes, merge_turns=True)
    loaded = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == len(names) > 3
    lines = [json.loads(line, parse_int=as_a_table_has_it) for line in path.read_bytes().split(b"\n")[:-1]]
    for row, line in zip(loaded, lines, strict=True):
        assert without_absent(row) == without_absent(line)


@pytest.mark.parametrize("odd", ['{"type":"object","type":"object"}', '{"type":"object","maximum":1e400}'])
def test_a_schema_that_a_table_refuses_costs_its_own_record_and_no_file(odd, write, tmp_path):
    offered = example(user("W?"), assistant("Fine."), tools=(FunctionTool("weather", "", odd),))
    path, _, reasons = write(Format.OPENAI_CHAT, {"plain": PLAIN, "offered": offered})
    assert len(load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))) == 1
    assert reasons == {"offered": "tool_schema_invalid"}


def test_a_long_file_whose_shape_changes_late_loads_as_the_guide_says(tmp_path):
    """Types are told by the first 10 MB, unless the chunk is larger."""
    plain = {"messages": [{"role": "user", "content": "x" * 9_000}, {"role": "assistant", "content": "Hello"}]}
    late = {**plain, "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]}
    path = tmp_path / "train.jsonl"
    with path.open("w") as file:
        for line in [*[plain] * 1_300, late]:
            file.write(json.dumps(line) + "\n")
    assert path.stat().st_size > 10 << 20
    loaded = load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"), chunksize=1 << 30
    )
    assert (len(loaded), loaded[0]["tools"]) == (1_301, None)
    assert loaded[1_300]["tools"][0]["function"]["name"] == "f"


def as_a_table_has_it(digits):
    """Of a number with more digits than 64 bits hold, the first ones."""
    return int(digits) if len(digits) < 19 else float(digits)


def without_absent(value):
    """Tables have one schema: what a row does not have is null there."""
    if isinstance(value, dict):
        return {name: without_absent(each) for name, each in value.items() if each not in (None, [], {})}
    if isinstance(value, list):
        return [without_absent(each) for each in value]
    return value
