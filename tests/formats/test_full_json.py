"""protobuf's own JSON reader takes every line as an ExportRecord, from which the same values come again."""

import json

import pytest
from google.protobuf import json_format
from msgspec.structs import replace

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.datasets.example import Example, FailedAttempt, Failure, Feedback, Figures
from llmproxy_grpc.datasets.options import Format
from llmproxy_grpc.messages import (
    CacheHint,
    Candidate,
    ChatRequest,
    Citation,
    Cost,
    FinishReason,
    FunctionTool,
    GenerationConfig,
    JsonObjectFormat,
    JsonSchemaFormat,
    MediaDetail,
    MediaKind,
    MediaPart,
    Modality,
    ModalityTokens,
    OpaquePart,
    ProviderTool,
    ReasoningConfig,
    ReasoningEffort,
    RefusalPart,
    RoutingPolicy,
    TextPart,
    TokenLogprob,
    ToolChoice,
    ToolMode,
    Usage,
    UsageSource,
    Warning,
)
from llmproxy_grpc.wire.request import to_request
from llmproxy_grpc.wire.response_reading import to_response
from tests.fakes.examples import EVERY_SHAPE, PIXEL, assistant, user

SOURCE = Citation("https://example.com", "Title", 1, 5, "quoted")
EVERYTHING = Example(
    id="0193",
    seq=9_007_199_254_740_991,
    request=ChatRequest(
        model="assistant",
        messages=(
            user(
                TextPart(text="Hello", cache_hint=CacheHint(300.0)),
                TextPart(text="you", cache_hint=CacheHint()),
                MediaPart(kind=MediaKind.IMAGE, data=PIXEL, media_type="image/png", detail=MediaDetail.HIGH),
                MediaPart(kind=MediaKind.DOCUMENT, file_id="file-1", filename="a.pdf"),
            ),
        ),
        tools=(FunctionTool("f", "does", '{"type": "object"}', strict=False), ProviderTool("x", "search", {"n": 1.0})),
        tool_choice=ToolChoice(ToolMode.REQUIRED, parallel_tool_calls=False),
        generation=GenerationConfig(
            max_output_tokens=5,
            temperature=0.0,
            stop_sequences=("a", ""),
            seed=-1,
            reasoning=ReasoningConfig(ReasoningEffort.HIGH, 0, include=False),
            response_format=JsonSchemaFormat("s", "{}", strict=True),
            logit_bias={5: -100.0},
            output_modalities=(Modality.TEXT,),
        ),
        end_user_id="u",
        labels={"team": "search"},
        routing=RoutingPolicy(("p",), ("m",), 2, 1.5, 0.25, drop_unsupported=True),
        provider_options={"openai": {"store": True, "deep": {"list": [1.0, None]}}},
        conversation_id="c",
        data=chat_pb2.DATA_POLICY_NO_TRAINING,
    ),
    candidates=(
        Candidate(
            0,
            assistant(
                TextPart(text="Hi", citations=(SOURCE,), continuity_token=b"\x00\xff"),
                OpaquePart(provider_kind="x", type="t", value={"a": "b"}),
            ),
            FinishReason.MAX_TOKENS,
            "length",
            "stop",
            (TokenLogprob("Hi", -0.5, b"Hi", (TokenLogprob("Ho", -1.5),)),),
        ),
        Candidate(1, assistant(RefusalPart(text="No.")), FinishReason.REFUSAL),
    ),
    feedback=(
        Feedback(name="helpful", value=False, source="user", created_us=1),
        Feedback(name="score", value=0.0),
        Feedback(name="note", value="", created_us=1_700_000_000_123_456),
        Feedback(name="better", value=assistant("Good day.")),
    ),
    figures=Figures(
        method="Chat",
        started_us=1_700_000_000_123_456,
        latency_us=1_503_000,
        first_token_us=0,
        caller_key_id="key",
        conversation_id="c",
        provider="openai",
        upstream_model="gpt",
        upstream_request_id="req",
        cache_hit=True,
        failed_attempts=(FailedAttempt(provider="p", upstream_model="m", grpc_code=14, reason="UPSTREAM_TIMEOUT"),),
        usage=Usage(
            input_tokens=3,
            output_tokens=2,
            total_tokens=5,
            modality_tokens=(ModalityTokens(Modality.TEXT, 3, 2),),
            cost=Cost("USD", 0),
            source=UsageSource.ESTIMATE,
        ),
        warnings=(Warning("PARAMETER_DROPPED", "generation.seed", "No seed."),),
        provider_metadata={"openai": {"tier": "flex"}},
    ),
)
FAILED = Example(
    id="0194",
    request=ChatRequest("assistant", (), generation=GenerationConfig(response_format=JsonObjectFormat())),
    figures=Figures(
        grpc_code=14,
        failure=Failure(
            reason="UPSTREAM_TIMEOUT",
            request_id="r",
            upstream_http_status=504,
            retryable=True,
            retry_after_us=2_000_000,
            partial_usage=Usage(input_tokens=1),
            attempts=(FailedAttempt(provider="p", upstream_model="m", latency_us=1),),
        ),
    ),
)


def read(path):
    return [json_format.Parse(line, pb.ExportRecord()) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", [*EVERY_SHAPE, "everything", "failed"])
def test_request_and_answers_come_back_as_they_were(write, name):
    made = {**EVERY_SHAPE, "everything": EVERYTHING, "failed": FAILED}[name]
    (record,) = read(write(Format.FULL_JSON, {name: made})[0])
    assert (record.id, record.seq) == (made.id, made.seq)
    assert to_request(record.request) == made.request
    assert to_response(record.response).candidates == made.candidates


def test_everything_that_was_recorded_is_there(write):
    (record,) = read(write(Format.FULL_JSON, {"one": EVERYTHING})[0])
    assert unset(record) == {"error", "grpc_code"}
    assert unset(record.request) == {"idempotency_key", "cache"}, "which are refused as long as nothing honours them"
    assert unset(record.response) == set()
    assert unset(record.response.route) == set()
    assert record.start_time.ToMicroseconds() == record.response.create_time.ToMicroseconds() == 1_700_000_000_123_456
    assert (record.latency.ToMicroseconds(), record.time_to_first_token.ToMicroseconds()) == (1_503_000, 0)
    assert record.response.usage.cost.currency_code == "USD"
    assert [feedback.WhichOneof("value") for feedback in record.feedback] == [
        *("thumbs_up", "score", "comment", "demonstration")
    ]


@pytest.mark.parametrize("policy", chat_pb2.DataPolicy.values())
def test_what_the_caller_allowed_is_told_by_its_name(write, policy):
    made = replace(EVERYTHING, request=replace(EVERYTHING.request, data=policy))
    path, _, _ = write(Format.FULL_JSON, {"one": made})
    told = json.loads(path.read_text())["request"].get("data", "DATA_POLICY_UNSPECIFIED")
    assert told == chat_pb2.DataPolicy.Name(policy)


def test_a_failure_has_its_whole_story(write):
    (record,) = read(write(Format.FULL_JSON, {"one": FAILED})[0])
    assert record.error.reason
    assert record.error.retry_after.seconds == 2
    assert record.error.attempts[0].latency.nanos == 1000
    assert not record.HasField("response")


def test_metadata_alone_is_a_line_too(write):
    bare = replace(FAILED, figures=Figures(method="Embed"))
    path, names, _ = write(Format.FULL_JSON, {"one": bare})
    assert names == ["one"]
    assert json.loads(path.read_text())["request"] == {
        "model": "assistant",
        "generation": {"response_format": {"json_object": {}}},
    }


def unset(message):
    return {field.name for field in message.DESCRIPTOR.fields} - {field.name for field, _ in message.ListFields()}
