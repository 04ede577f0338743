"""What llmproxyctl prints, and how it ends."""

import sys

import grpc
import pytest
from google.protobuf import json_format
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

from llmproxy_client.ctl.terminal import clean
from llmproxy_client.v1.chat_pb2 import ChatResponse, StreamResponse
from llmproxy_client.v1.content_pb2 import ROLE_SYSTEM, ROLE_USER, ContentPart
from llmproxy_client.v1.error_pb2 import ERROR_REASON_UPSTREAM_UNREACHABLE, ErrorDetail
from llmproxy_client.v1.generation_pb2 import FINISH_REASON_MAX_TOKENS, FINISH_REASON_TOOL_CALLS

COMMAND = [sys.executable, "-m", "llmproxy_client.ctl"]


@pytest.mark.parametrize("stream", [[], ["--no-stream"]])
def test_chat_prints_the_answer_and_a_line_end(ctl, script, stream):
    assert ctl("chat", *stream, "Hi") == 0

    assert ctl.out == "Hello there\n"
    assert ctl.err == ""
    asked = script.asked[0] if stream else script.asked[0].chat
    assert asked.model == "default"
    assert asked.messages[0].parts[0].text == "Hi"


def test_chat_asks_the_model_that_is_named(ctl, script):
    ctl("chat", "--no-stream", "-m", "openai/gpt-5-mini", "Hi")

    assert script.asked[0].model == "openai/gpt-5-mini"


def test_chat_asks_as_it_is_told(ctl, script):
    ctl("chat", "--no-stream", "--system", "Be brief.", "--max-tokens", "64", "--temperature", "0", "Hi")
    asked = script.asked[0]
    assert [(message.role, message.parts[0].text) for message in asked.messages] == [
        (ROLE_SYSTEM, "Be brief."),
        (ROLE_USER, "Hi"),
    ]
    assert (asked.generation.max_output_tokens, asked.generation.temperature) == (64, 0.0)
    assert asked.generation.HasField("temperature")
    ctl("chat", "--no-stream", "Hi")
    assert not script.asked[1].HasField("generation")


def test_chat_adds_no_second_line_end(ctl, script, spoken):
    script.events = spoken("one\n", "two\n")
    ctl("chat", "Hi")

    assert ctl.out == "one\ntwo\n"


def test_an_empty_answer_prints_nothing(ctl, script, spoken):
    script.events = spoken()

    assert ctl("chat", "Hi") == 0
    assert ctl.out == ""


@pytest.mark.parametrize(("given", "taken"), [(b"Hi\n", "Hi"), (b"a\nb\n\n", "a\nb\n"), ("größe".encode(), "größe")])
def test_chat_reads_standard_input_without_a_prompt(ctl, script, given, taken):
    ctl("chat", "--no-stream", stdin=given)

    assert script.asked[0].messages[0].parts[0].text == taken


@pytest.mark.parametrize(
    ("argv", "stdin", "words"),
    [
        (["chat"], b"\xff\xfe", "UTF-8"),
        (["chat", "\udcff"], b"", "UTF-8"),
        (["chat"], b"", "empty"),
        (["chat", ""], b"", "empty"),
        (["chat", "two", "prompts"], b"", "unrecognized"),
        (["--timeout", "0", "models"], b"", "seconds"),
        (["--timeout", "nan", "models"], b"", "seconds"),
        (["--timeout", "soon", "models"], b"", "seconds"),
        (["--target", "http://127.0.0.1:1", "models"], b"", "URL"),
        (["--cert", "c.pem", "models"], b"", "--tls"),
        (["--tls", "--cert", "c.pem", "models"], b"", "both"),
        (["--ca-file", "/nonexistent/ca.pem", "models"], b"", "error: /nonexistent/ca.pem: cannot be read: No such"),
        (["--api-key", "two words", "models"], b"", "API key"),
        (["rerank"], b"", "invalid choice"),
        (["embed"], b"", "no text"),
        (["embed", ""], b"", "no text"),
        (["embed"], b"\n\r\n", "no text"),
        (["embed"], b"\xff", "UTF-8"),
        (["embed", "\udcff"], b"", "UTF-8"),
        (["embed", "--dimensions", "0", "a"], b"", "above 0"),
        (["embed", "--dimensions", "9" * 12, "a"], b"", "above 0 and at most 2147483647"),
        (["--ca-file", __file__, "models"], b"", f"error: {__file__} holds no certificate as PEM"),
        (["embed", "--purpose", "fun", "a"], b"", "invalid choice"),
        (["count-tokens"], b"", "empty"),
        (["count-tokens", "\udcff"], b"", "UTF-8"),
        ([], b"", "required"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_why(ctl, script, capsys, argv, stdin, words):
    with pytest.raises(SystemExit) as ended:
        ctl(*argv, stdin=stdin)

    assert ended.value.code == 2
    assert words in capsys.readouterr().err
    assert not script.asked


def test_json_of_a_whole_answer_is_one_line_of_proto_json(ctl, script):
    ctl("chat", "--no-stream", "--json", "Hi")

    assert ctl.out.count("\n") == 1
    assert json_format.Parse(ctl.out, ChatResponse()) == script.answer


def test_json_of_a_stream_is_one_event_a_line(ctl, script):
    ctl("chat", "--json", "Hi")

    assert [json_format.Parse(line, StreamResponse()) for line in ctl.out.splitlines()] == script.events


@pytest.mark.parametrize("tty", [False, True])
@pytest.mark.parametrize("stream", [[], ["--no-stream"]])
def test_thinking_is_shown_to_a_terminal_alone_and_never_in_the_output(ctl, script, numbered, said, tty, stream):
    script.events = numbered(
        {"start": {}},
        {"delta": {"reasoning": {"text": "hm"}}},
        {"delta": {"part_index": 1, "text": "Hi"}},
        {"finish": {"finish_reason": 1}},
        {"end": {}},
    )
    script.answer = said(ContentPart(reasoning={"text": "hm"}), ContentPart(text="Hi"))
    ctl("chat", *stream, "Hi", tty=tty)

    assert ctl.out == "Hi\n"
    assert ctl.err == ("\x1b[2mhm\x1b[0m\x1b[2m\n\x1b[0m" if tty else "")


@pytest.mark.parametrize("stream", [[], ["--no-stream"]])
def test_tool_calls_media_and_refusals_are_shown(ctl, script, numbered, said, stream):
    image = ContentPart(image={"data": b"1234", "media_type": "image/png"})
    script.events = numbered(
        {"start": {}},
        {"delta": {"refusal": "No"}},
        {"delta": {"part_index": 1, "tool_call": {"id": "c", "name": "weather", "arguments_json": '{"city":'}}},
        {"delta": {"part_index": 1, "tool_call": {"arguments_json": '"Bonn"}'}}},
        {"delta": {"part_index": 2, "part": image}},
        {"finish": {"finish_reason": FINISH_REASON_TOOL_CALLS}},
        {"end": {}},
    )
    script.answer = said(
        ContentPart(refusal="No"),
        ContentPart(tool_call={"id": "c", "name": "weather", "arguments_json": '{"city":"Bonn"}'}),
        image,
        finish_reason=FINISH_REASON_TOOL_CALLS,
    )
    ctl("chat", *stream, "Hi")

    assert ctl.out == 'No\nweather({"city":"Bonn"})\n[image: image/png, 4 bytes]\n'
    assert ctl.err == ""


def test_an_answer_that_ended_early_and_warnings_are_told_beside_it(ctl, script, said):
    script.answer = said(ContentPart(text="Hal"), finish_reason=FINISH_REASON_MAX_TOKENS)
    script.answer.warnings.add(code="PARAMETER_DROPPED", field="generation.seed", message="not supported")

    assert ctl("chat", "--no-stream", "Hi") == 0

    assert ctl.out == "Hal\n"
    assert ctl.err.splitlines() == [
        "llmproxyctl: PARAMETER_DROPPED generation.seed: not supported",
        "llmproxyctl: the answer ended early: MAX_TOKENS",
    ]


def test_a_failed_call_ends_with_1_and_tells_code_reason_and_message(ctl, script, refusal):
    script.error = refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "2 fields are wrong",
        ErrorInfo(reason="INVALID_REQUEST", domain="llmproxy"),
        ErrorDetail(request_id="req-1"),
        RetryInfo(retry_delay={"seconds": 2}),
        BadRequest(field_violations=[{"field": "model", "description": "is required"}]),
    )

    assert ctl("chat", "--no-stream", "Hi") == 1

    assert ctl.out == ""
    assert ctl.err.splitlines() == [
        "llmproxyctl: INVALID_ARGUMENT/INVALID_REQUEST: 2 fields are wrong",
        "  model: is required",
        "  try again in 2 s",
        "  request id req-1",
    ]


def test_a_failed_call_tells_the_provider_its_words_and_every_attempt(ctl, script, refusal):
    script.error = refusal(
        grpc.StatusCode.UNAVAILABLE,
        "every target failed",
        ErrorInfo(reason="UPSTREAM_SERVER_ERROR", domain="llmproxy"),
        ErrorDetail(
            provider="groq",
            upstream_http_status=503,
            upstream_message="try\x1b[2J later",
            attempts=[
                {
                    "provider": "openai",
                    "upstream_model": "gpt-5",
                    "reason": ERROR_REASON_UPSTREAM_UNREACHABLE,
                    "latency": {"nanos": 12_345_678},
                },
                {"provider": "groq", "upstream_model": "qwen/qwen3", "reason": 999, "latency": {"seconds": 2**62}},
                {"provider": "local", "upstream_model": "small"},
            ],
        ),
    )

    assert ctl("chat", "--no-stream", "Hi") == 1

    assert ctl.err.splitlines() == [
        "llmproxyctl: UNAVAILABLE/UPSTREAM_SERVER_ERROR: every target failed",
        "  provider: groq",
        "  HTTP status: 503",
        "  the provider said: try[2J later",
        "  attempt openai/gpt-5: UPSTREAM_UNREACHABLE after 0.012 s",
        f"  attempt groq/qwen/qwen3: 999 after {float(2**62):.3f} s",
        "  attempt local/small: OK after 0.000 s",
    ]


def test_what_came_of_a_broken_stream_stands_above_its_error(ctl, script, spoken, refusal):
    script.events = spoken("Hal")[:2]
    script.error = refusal(grpc.StatusCode.UNAVAILABLE, "the provider broke off")

    assert ctl("chat", "Hi") == 1
    assert ctl.out == "Hal\n"
    assert ctl.err == "llmproxyctl: UNAVAILABLE: the provider broke off\n"


def test_a_stream_without_end_is_a_failure(ctl, script, spoken):
    script.events = spoken("Hal")[:2]

    assert ctl("chat", "Hi") == 1
    assert ctl.out == "Hal\n"
    assert "not whole" in ctl.err


def test_the_timeout_is_a_failure(ctl, script):
    script.hang = True

    assert ctl("--timeout", "0.2", "chat", "Hi") == 1
    assert "DEADLINE_EXCEEDED" in ctl.err


def test_global_options_stand_before_or_after_the_command(ctl, script):
    assert ctl("--api-key", "test-key", "models") == 0
    assert ctl("models", "--api-key", "test-key") == 0
    assert ctl("models", LLMPROXY_API_KEY="test-key") == 0
    assert ctl("models", LLMPROXY_API_KEY="") == 0
    assert ctl("models", "--target", ctl.target, LLMPROXY_TARGET="http://not-used") == 0

    assert [metadata.get("authorization") for metadata in script.metadata] == ["Bearer test-key"] * 3 + [None] * 2


def test_a_key_in_the_clear_to_another_host_is_warned_of_and_never_shown(ctl):
    assert ctl("health", "--target", "0.0.0.0:1", LLMPROXY_API_KEY="test-key") == 1
    assert "in the clear" in ctl.err
    assert "test-key" not in ctl.err


def test_tls_comes_with_the_authorities(ctl, script, serving, certificates):
    server = grpc.ssl_server_credentials([(certificates.key.read_bytes(), certificates.cert.read_bytes())])
    with serving(script, credentials=server) as target:
        assert ctl("health", "--ca-file", str(certificates.ca), "--target", target) == 0
        assert ctl("health", "--tls", "--target", target) == 1
        assert ctl("health", "--target", target) == 1


def test_a_terminal_is_not_steered_by_an_answer_and_a_file_gets_it_whole(ctl, script, spoken):
    script.events = spoken("a\x1b]0;title\x07\tb\x9bc\r\n")

    ctl("chat", "Hi", tty=True)
    assert ctl.out == "a]0;title\tbc\n"
    ctl("chat", "Hi")
    assert ctl.out == "a\x1b]0;title\x07\tb\x9bc\r\n"


def test_clean_text_keeps_every_script():
    assert clean("größe 日本語 🙂\n\t") == "größe 日本語 🙂\n\t"
