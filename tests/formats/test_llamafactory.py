"""LLaMA-Factory's own readers and writers take every line of ShareGPT, Alpaca and OpenAI's shape."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from llmproxy_client.dataset.card import write_dataset_info

from llmproxy_grpc.datasets.options import Format, ReasoningOutput
from tests.fakes.examples import (
    EVERY_SHAPE,
    LONG_NUMBER,
    MULTI_TURN,
    PARALLEL_CALLS,
    REASONING,
    assistant,
    call,
    example,
    results,
    system,
    user,
)

# Beside the environment that runs the tests; `make .venv-llamafactory/.done` makes it.
FOLDER = Path(sys.prefix).parent / ".venv-llamafactory"
READER = Path(__file__).with_name("llamafactory_reader.py")
SHAREGPT = {"formatting": "sharegpt", "columns": {"messages": "conversations", "tools": "tools"}}
ALPACA_COLUMNS = {"prompt": "instruction", "query": "input", "response": "output"}
ALPACA = {"columns": ALPACA_COLUMNS | {"system": "system", "history": "history"}}
OPENAI = {
    "formatting": "openai",
    "columns": {"messages": "messages", "tools": "tools"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "observation_tag": "tool",
        "function_tag": "function_call",
        "system_tag": "system",
    },
}


@pytest.fixture(scope="module", autouse=True)
def _its_own_environment():
    assert (FOLDER / "llamafactory").is_dir(), "run `make .venv-llamafactory/.done` first"


def read(path, attributes):
    command = [sys.executable, str(READER), str(FOLDER), str(path), json.dumps(attributes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.timeout(120)
def test_every_line_of_sharegpt_is_read_whole(write):
    alone = example(
        system("Use tools."),
        user("W?"),
        assistant(call("a", LONG_NUMBER), call("b")),
        results(("b", "2"), ("a", "1")),
        assistant("x"),
        tools=PARALLEL_CALLS.request.tools,
    )
    shapes = {**EVERY_SHAPE, "calls": alone}
    path, names, reasons = write(Format.SHAREGPT, shapes)
    assert reasons == {
        "two users": "consecutive_turns",
        "parallel calls": "text_beside_tool_call",
        "a key twice": "duplicate_keys",
        "picture": "media_not_supported",
        "late system": "late_instructions",
        "half a character": "arguments_not_json",
    }
    rows = dict(zip(names, read(path, SHAREGPT), strict=True))
    for name, row in rows.items():
        # It empties what it cannot use, and says so in its log alone.
        assert row["_prompt"], name
        assert [turn["role"] for turn in row["_response"]] in (["assistant"], ["function"]), name
    assert rows["developer"]["_system"] == "Be brief."
    calls = rows["calls"]
    assert calls["_prompt"][1]["formatted"][0].count("<tool_call>") == 2
    assert "123456789012345678901234567890" in calls["_prompt"][1]["formatted"][0]
    assert calls["_prompt"][2]["content"] == "1\n</tool_response>\n<tool_response>\n2"
    assert '"name": "weather"' in calls["_formatted_tools"][0]
    assert rows["odd text"]["_prompt"][0]["content"] == EVERY_SHAPE["odd text"].request.messages[0].parts[0].text


@pytest.mark.timeout(120)
def test_white_space_beside_a_call_is_no_text(write):
    path, _, reasons = write(Format.SHAREGPT, {"spaced": example(user("W?"), assistant("\n\n", call("a")))})
    assert reasons == {}
    (row,) = read(path, SHAREGPT)
    assert [turn["role"] for turn in row["_response"]] == ["function"]


@pytest.mark.timeout(120)
def test_a_thought_before_a_call_is_found(write):
    thinking = example(user("W?"), assistant(*REASONING.candidates[0].message.parts[:1], call("a")))
    path, _, _ = write(Format.SHAREGPT, {"one": thinking}, reasoning=ReasoningOutput.THINK_TAGS)
    (row,) = read(path, SHAREGPT)
    formatted = row["_response"][0]["formatted"][0]
    assert formatted.startswith("<think>\nTwo and two.\n</think>")
    assert '{"name": "weather", "arguments": {"city": "Rome"}}' in formatted


@pytest.mark.timeout(120)
def test_marks_of_thoughts_and_calls_inside_arguments_are_arguments(write):
    asked = {"html": "<think>x</think> <tool_call>{}</tool_call> \\<"}
    path, _, _ = write(Format.SHAREGPT, {"one": example(user("W?"), assistant(call("a", json.dumps(asked))))})
    (row,) = read(path, SHAREGPT)
    assert json.loads(row["_response"][0]["formatted"][0].partition("\n")[2].rpartition("\n")[0])["arguments"] == asked


@pytest.mark.timeout(120)
def test_arguments_that_its_reader_cannot_keep_cost_their_own_record_and_no_file(write):
    odd = {"long": '{"n":' + "9" * 5000 + "}", "endless": '{"n":1e400}', "twice": '{"n":1,"n":2}'}
    made = {name: example(user("W?"), assistant(call("a", text))) for name, text in odd.items()}
    path, _, reasons = write(Format.SHAREGPT, {**made, "plain": MULTI_TURN})
    assert len(read(path, SHAREGPT)) == 1
    assert reasons == {"long": "arguments_not_json", "endless": "arguments_not_json", "twice": "duplicate_keys"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("form", [Format.SHAREGPT, Format.ALPACA], ids=lambda form: form.name)
def test_files_are_read_by_the_description_that_lies_beside_them(form, write, tmp_path):
    """Also those in which nobody has instructions or tools: what a description names has to be in the table."""
    path, names, _ = write(form, {"multi turn": MULTI_TURN})
    write_dataset_info(tmp_path, {"format": form.name.lower(), "files": [{"split": "train", "name": path.name}]})
    described = json.loads((tmp_path / "dataset_info.json").read_text())["train"]
    assert described.pop("file_name") == path.name
    (row,) = read(path, described)
    assert len(names) == 1
    assert [turn["content"] for turn in row["_prompt"]] == ["1?", "One.", "2?"]
    assert not row["_tools"]


@pytest.mark.timeout(120)
def test_every_line_of_alpaca_is_read_with_its_history(write):
    path, names, reasons = write(Format.ALPACA, EVERY_SHAPE)
    assert reasons == {
        "two users": "consecutive_turns",
        "parallel calls": "tools_not_supported",
        "a key twice": "tools_not_supported",
        "ends on a call": "tools_not_supported",
        "picture": "media_not_supported",
        "late system": "late_instructions",
        **dict.fromkeys(
            ("half a character", "rich schema", "dotted name", "long id", "empty result"), "tools_not_supported"
        ),
    }
    rows = dict(zip(names, read(path, ALPACA), strict=True))
    assert rows["plain"]["_system"] == "Be brief."
    assert [turn["content"] for turn in rows["multi turn"]["_prompt"]] == ["1?", "One.", "2?"]
    assert rows["multi turn"]["_response"] == [{"role": "assistant", "content": "Two."}]
    assert MULTI_TURN.request.messages[0].parts[0].text == "1?"


@pytest.mark.timeout(120)
def test_merged_turns_are_read_where_single_ones_would_be_emptied(write):
    single, _, _ = write(Format.OPENAI_CHAT, {"two users": EVERY_SHAPE["two users"]})
    assert read(single, OPENAI)[0]["_response"] == []
    merged, _, _ = write(Format.OPENAI_CHAT, {"two users": EVERY_SHAPE["two users"]}, merge_turns=True)
    assert read(merged, OPENAI)[0]["_prompt"] == [{"role": "user", "content": "Hello?\n\nAnybody?"}]
