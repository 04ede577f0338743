import io
import json
import os
from datetime import UTC, datetime

import pytest
import structlog

from llmproxy_grpc.calls import ANONYMOUS, Attempt, Call, Outcome
from llmproxy_grpc.errors import ProxyOverloaded, UpstreamTimeout
from llmproxy_grpc.messages import Cost, Usage
from llmproxy_grpc.telemetry.logs import CallLog, configure


@pytest.fixture(autouse=True)
def _restore():
    yield
    structlog.reset_defaults()


class Stream(io.StringIO):
    def __init__(self):
        super().__init__()
        self.buffer = io.BytesIO()


def call() -> Call:
    made = Call("id", "Stream", "request", ANONYMOUS, datetime.now(UTC), 10.0, 20.0, model="m" * 500)
    made.provider, made.upstream_model, made.first_output_at, made.usage = "p", "u", 10.5, Usage(3, 4, 7)
    return made


def test_a_call_is_one_line_of_json_with_chosen_fields():
    stream = Stream()
    configure("json", "info", stream)
    CallLog({"Stream"}).call_ended(
        call(), Outcome("UNAVAILABLE", "UPSTREAM_TIMEOUT", 1.5, UpstreamTimeout("secret text"))
    )
    lines = stream.buffer.getvalue().splitlines()
    assert len(lines) == 1
    entry = json.loads(lines[0])
    assert entry["event"] == "call"
    assert (entry["code"], entry["reason"], entry["duration"]) == ("UNAVAILABLE", "UPSTREAM_TIMEOUT", 1.5)
    assert (entry["input_tokens"], entry["output_tokens"], entry["first_output"]) == (3, 4, 0.5)
    assert len(entry["model"]) == 128
    assert "secret text" not in lines[0].decode()


def test_of_an_overload_the_line_says_what_is_used_up():
    stream = Stream()
    configure("json", "info", stream)
    overload = ProxyOverloaded("No file is left. Not asked: p/\x1b[2J.")
    CallLog({"Stream"}).call_ended(call(), Outcome("UNAVAILABLE", "PROXY_OVERLOADED", 0.1, overload))
    entry = json.loads(stream.buffer.getvalue())
    assert entry["why"] == r"'No file is left. Not asked: p/\x1b[2J.'"


def test_only_the_line_of_a_recorded_method_has_a_records_id():
    stream = Stream()
    configure("json", "info", stream)
    for recorded in ({"Stream", "Chat"}, {"Chat"}, ()):
        CallLog(recorded).call_ended(call(), Outcome("OK", "", 1.5))
    lines = [json.loads(line) for line in stream.buffer.getvalue().splitlines()]
    assert [line.get("record_id") for line in lines] == ["id", None, None]
    assert {line["request_id"] for line in lines} == {"request"}


def test_the_line_has_the_cost_if_it_is_known():
    ended = call()
    for cost, expected in ((None, {}), (Cost("EUR", 12_345_000), {"cost": 0.012345, "currency": "EUR"})):
        stream = Stream()
        configure("json", "info", stream)
        ended.usage = Usage(3, 4, 7, cost=cost)
        CallLog({"Stream"}).call_ended(ended, Outcome("OK", "", 1.5))
        entry = json.loads(stream.buffer.getvalue())
        assert {name: entry[name] for name in ("cost", "currency") if name in entry} == expected
        structlog.reset_defaults()


def test_control_characters_cannot_forge_a_line():
    stream = Stream()
    configure("json", "info", stream)
    structlog.get_logger().info("x", value="a\n{}\x1b[31m")
    assert len(stream.buffer.getvalue().splitlines()) == 1
    assert b"\x1b" not in stream.buffer.getvalue()


def test_the_console_form_is_for_people():
    stream = Stream()
    configure("console", "warning", stream)
    log = structlog.get_logger()
    log.info("unseen")
    log.warning("seen")
    assert "seen" in stream.getvalue()
    assert "unseen" not in stream.getvalue()


class Full:
    """A standard error that nobody reads any more."""

    def __init__(self):
        self.buffer = self

    def write(self, _line):
        raise BrokenPipeError

    def flush(self):
        raise OSError(28, "No space left on device")

    def isatty(self):
        return False


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_line_that_cannot_be_written_is_dropped(form):
    configure(form, "info", Full())
    structlog.get_logger().info("call", code="OK")


@pytest.mark.parametrize("form", ["json", "console"])
def test_nothing_waits_for_a_pipe_that_nobody_reads_and_later_lines_come(form):
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w") as stream:
        configure(form, "info", stream)
        for number in range(200):  # 400 KB, and a pipe has room for 64
            structlog.get_logger().info("call", number=number, padding="x" * 2_000)
        before = os.read(reader.fileno(), 1_000_000)
        structlog.get_logger().info("afterwards")
        after = os.read(reader.fileno(), 1_000_000)
    assert b"call" in before
    assert b"afterwards" in after
    whole = [line for line in (before + after).splitlines() if b"afterwards" in line]
    assert [b"padding" in line for line in whole] == [False]  # what broke off within a line is a line by itself


def test_the_attempts_that_failed_are_named():
    stream = Stream()
    configure("json", "info", stream)
    story = call()
    story.attempts.append(Attempt("openai", "gpt", 0.1, UpstreamTimeout("secret text")))
    CallLog({"Stream"}).call_ended(story, Outcome("OK", "", 1.5))
    assert json.loads(stream.buffer.getvalue())["failed"] == ["openai:UPSTREAM_TIMEOUT"]
