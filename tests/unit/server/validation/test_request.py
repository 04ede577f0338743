import math

import pytest
from google.rpc import error_details_pb2

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.errors import FieldViolation
from llmproxy_grpc.server.validation import bounds, features_off, unknown_fields, validate, validate_stream_options
from llmproxy_grpc.server.validation.findings import Findings
from tests.fakes.structs import struct
from tests.unit.server.validation.build import HELLO, function, generated, request, turn, with_tools

NAN, INF = math.nan, math.inf


def options(**structs):
    made = request()
    for kind, value in structs.items():
        made.provider_options[kind].CopyFrom(struct(value))
    return made


def strange_options(kind):
    made = request()
    made.provider_options[kind].SetInParent()
    return made


def schema(**fields):
    return generated(response_format={"json_schema": fields})


def choose(*tools, **choice):
    return with_tools(*tools, tool_choice=choice)


def routed(**policy):
    return request(routing=policy)


def provider_tool(**fields):
    return with_tools({"provider": fields})


NUMBERS = {
    f"{name} {value}": (generated(**{name: value}), f"generation.{name}")
    for name, values in {
        "temperature": (NAN, INF, -INF, -0.1, 2.1),
        "top_p": (NAN, -0.1, 1.1),
        "top_k": (-1,),
        "max_output_tokens": (0, -1),
        "presence_penalty": (NAN, -2.1, 2.1),
        "frequency_penalty": (NAN, -2.1, 2.1),
        "candidate_count": (0, 129),
        "top_logprobs": (-1, 21),
    }.items()
    for value in values
}

WRONG = NUMBERS | {
    "no model": (request(model=""), "model"),
    "a blank model": (request(model="  "), "model"),
    "a long model": (request(model="m" * 257), "model"),
    "a model with a control character": (request(model="gpt\x00"), "model"),
    "a long end user": (request(end_user_id="u" * 257), "end_user_id"),
    "an end user with a line break": (request(end_user_id="a\nb"), "end_user_id"),
    "a long conversation id": (request(conversation_id="u" * 257), "conversation_id"),
    "a conversation id with a control character": (request(conversation_id="\x7f"), "conversation_id"),
    "a long idempotency key": (request(idempotency_key="k" * 129), "idempotency_key"),
    "an idempotency key that is not ASCII": (request(idempotency_key="ü"), "idempotency_key"),
    "an idempotency key with a line break": (request(idempotency_key="a\n"), "idempotency_key"),
    "too many labels": (request(labels={str(i): "" for i in range(17)}), "labels"),
    "an empty label key": (request(labels={"": "v"}), 'labels[""]'),
    "a long label key": (request(labels={"k" * 65: "v"}), f'labels["{"k" * 40}…"]'),
    "a label key with a control character": (request(labels={"a\nb": "v"}), 'labels["a?b"]'),
    "a long label value": (request(labels={"k": "v" * 257}), 'labels["k"]'),
    "an option of no kind": (strange_options(""), 'provider_options[""]'),
    "an option of an odd kind": (strange_options("Open AI"), 'provider_options["Open AI"]'),
    "too many options": (options(**{f"k{i}": {} for i in range(33)}), "provider_options"),
    "an option that is not finite": (options(openai={"a": [{"b": NAN}]}), 'provider_options["openai"]'),
    "an option that is endless": (options(openai={"a": INF}), 'provider_options["openai"]'),
    "an option that is huge": (options(openai={"a": [1] * 20_001}), 'provider_options["openai"]'),
    "options and tools that are huge together": (
        request(
            provider_options=options(openai={"a": [1] * 10_000}).provider_options,
            tools=[{"provider": {"provider_kind": "openai", "type": "t", "config": struct({"a": [1] * 10_000})}}],
        ),
        'provider_options["openai"]',
    ),
    # Generation.
    "too many stop sequences": (generated(stop_sequences=["s"] * 17), "generation.stop_sequences"),
    "an empty stop sequence": (generated(stop_sequences=["s", ""]), "generation.stop_sequences[1]"),
    "a long stop sequence": (generated(stop_sequences=["s" * 1025]), "generation.stop_sequences[0]"),
    "a negative budget": (generated(reasoning={"budget_tokens": -1}), "generation.reasoning.budget_tokens"),
    "no schema": (schema(name="n"), "generation.response_format.json_schema.schema_json"),
    "a schema that is no JSON": (schema(schema_json="{"), "generation.response_format.json_schema.schema_json"),
    "a schema that is no object": (schema(schema_json="true"), "generation.response_format.json_schema.schema_json"),
    "an odd schema name": (schema(name="a b", schema_json="{}"), "generation.response_format.json_schema.name"),
    "a bias too big": (generated(logit_bias={5: 100.5}), "generation.logit_bias[5]"),
    "a bias too small": (generated(logit_bias={5: -100.5}), "generation.logit_bias[5]"),
    "a bias that is no number": (generated(logit_bias={5: NAN}), "generation.logit_bias[5]"),
    "a bias of no token": (generated(logit_bias={-5: 1}), "generation.logit_bias[-5]"),
    "too many biases": (generated(logit_bias=dict.fromkeys(range(10_001), 1.0)), "generation.logit_bias"),
    "an unspecified modality": (generated(output_modalities=[1, 0]), "generation.output_modalities[1]"),
    "a modality from the future": (generated(output_modalities=[99]), "generation.output_modalities[0]"),
    "too many modalities": (generated(output_modalities=[1] * 17), "generation.output_modalities"),
    # Tools.
    "too many tools": (with_tools(*[function(f"f{i}") for i in range(1025)]), "tools"),
    "a tool of no kind": (with_tools({}), "tools[0]"),
    "a function without name": (with_tools({"function": {}}), "tools[0].function.name"),
    "an odd function name": (with_tools(function("get weather")), "tools[0].function.name"),
    "a function name with a line break": (with_tools(function("f\n")), "tools[0].function.name"),
    "a long function name": (with_tools(function("f" * 129)), "tools[0].function.name"),
    "two functions of one name": (with_tools(function(), function("g"), function()), "tools[2].function.name"),
    "parameters that are no JSON": (
        with_tools(function(parameters_json_schema='{"a": nan}')),
        "tools[0].function.parameters_json_schema",
    ),
    "parameters that are cut off": (
        with_tools(function(parameters_json_schema='{"a": {"b": 1}')),
        "tools[0].function.parameters_json_schema",
    ),
    "parameters that are two objects": (
        with_tools(function(parameters_json_schema="{}{}")),
        "tools[0].function.parameters_json_schema",
    ),
    "parameters that are a list": (
        with_tools(function(parameters_json_schema="[]")),
        "tools[0].function.parameters_json_schema",
    ),
    "parameters too deep": (
        with_tools(function(parameters_json_schema='{"a":' * 100_000 + "1" + "}" * 100_000)),
        "tools[0].function.parameters_json_schema",
    ),
    "parameters too long": (
        with_tools(function(parameters_json_schema="{}" + " " * bounds.MAX_SCHEMA)),
        "tools[0].function.parameters_json_schema",
    ),
    "a provider's tool of no provider": (provider_tool(type="t"), "tools[0].provider.provider_kind"),
    "a provider's tool of no type": (provider_tool(provider_kind="openai"), "tools[0].provider.type"),
    "a provider's tool that is not finite": (
        provider_tool(provider_kind="openai", type="t", config=struct({"a": NAN})),
        "tools[0].provider.config",
    ),
    "a choice of no function": (choose(function(), function_name=""), "tool_choice.function_name"),
    "a choice of an unknown function": (choose(function(), function_name="g"), "tool_choice.function_name"),
    "a function chosen without tools": (choose(function_name="g"), "tool_choice.function_name"),
    "a mode without tools": (choose(mode=3), "tool_choice.mode"),
    # Routing.
    "an empty provider": (routed(providers=["a", ""]), "routing.providers[1]"),
    "too many providers": (routed(providers=["a"] * 65), "routing.providers"),
    "an empty fallback": (routed(fallback_models=[""]), "routing.fallback_models[0]"),
    "too many fallbacks": (routed(fallback_models=["a"] * 17), "routing.fallback_models"),
    "no attempts": (routed(max_attempts=0), "routing.max_attempts"),
    "no time for the first token": (routed(first_token_timeout={}), "routing.first_token_timeout"),
    "a negative silence": (routed(idle_timeout={"seconds": -1}), "routing.idle_timeout"),
    "an endless silence": (routed(idle_timeout={"seconds": 86_401}), "routing.idle_timeout"),
    "a duration of two signs": (routed(idle_timeout={"seconds": 2, "nanos": -1}), "routing.idle_timeout"),
    "a duration with too many nanos": (routed(idle_timeout={"seconds": 1, "nanos": 10**9}), "routing.idle_timeout"),
}


@pytest.mark.parametrize(("wrong", "path"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_by_its_path(wrong, path):
    assert [violation.field for violation in validate(wrong)] == [path]


RIGHT = {
    "a bare request": request(),
    "the longest words": request(model="m" * 256, end_user_id="ü" * 256, idempotency_key="~" * 128),
    "the most labels": request(labels={"k" * 63 + chr(97 + i): "v" * 256 for i in range(16)}),
    "the lower bounds": generated(
        temperature=0, top_p=0, top_k=0, max_output_tokens=1, presence_penalty=-2, candidate_count=1, top_logprobs=0
    ),
    "the upper bounds": generated(
        temperature=2, top_p=1, top_k=2**31 - 1, frequency_penalty=2, candidate_count=128, top_logprobs=20, seed=-1
    ),
    "no budget": generated(reasoning={"budget_tokens": 0, "effort": 99}),
    "every form": generated(response_format={"json_object": {}}),
    "an unset form": generated(response_format={}),
    "a schema": schema(name="answer-1", schema_json=' {"type": "object"} '),
    "the strongest biases": generated(logit_bias={0: -100, 2**31 - 1: 100}),
    "stop sequences": generated(stop_sequences=["\n", "s" * 1024]),
    "every modality": generated(output_modalities=[1, 2, 3, 4, 5]),
    "tools": with_tools(
        function("a.b-c_D9"),
        function("f", parameters_json_schema="{}"),
        {"provider": {"provider_kind": "openai", "type": "web_search"}},
    ),
    "a chosen function": choose(function(), function_name="f"),
    "a mode": choose({"provider": {"provider_kind": "openai", "type": "t"}}, mode=1),
    "a choice of nothing": choose(),
    "routing": routed(providers=["a"], fallback_models=["b"], max_attempts=1, first_token_timeout={"nanos": 1_000_000}),
    "options": options(openai={"a": [{"b": None}]}, **{"llama-cpp": {}}),
}


@pytest.mark.parametrize("right", RIGHT.values(), ids=RIGHT)
def test_what_is_right_passes(right):
    assert validate(right) == []


def test_every_wrong_field_is_named_at_once():
    wrong = chat_pb2.ChatRequest(
        messages=[HELLO, turn({}, role=0)], generation={"temperature": 3}, labels={"": ""}, routing={"max_attempts": 0}
    )
    expected = ["model", "messages[1].role", "messages[1].parts[0]", "generation.temperature"]
    assert [violation.field for violation in validate(wrong)] == [*expected, 'labels[""]', "routing.max_attempts"]


def test_a_prefix_stands_before_every_path():
    assert [violation.field for violation in validate(request(model=""), prefix="chat.")] == ["chat.model"]
    found = features_off(request(cache=1), prefix="chat.")
    assert [violation.field for violation in found] == ["chat.cache"]
    options = chat_pb2.StreamOptions(coalesce={"seconds": 11})
    found = validate_stream_options(options, prefix="options.")
    assert [violation.field for violation in found] == ["options.coalesce"]


@pytest.mark.parametrize("name", ["plain", "\U0010ffff" * 64], ids=["plain", "wide"])
def test_an_error_stays_small_however_much_is_wrong(name):
    wrong = request(
        messages=[turn({}, {}, role=0)] * 9000,
        labels={f"{number}{name * 20}": "v" * 300 for number in range(16)},
    )
    violations = validate(wrong)
    named = [violation for violation in violations if violation.field]
    assert 1 <= len(named) <= bounds.MAX_VIOLATIONS
    assert violations[-1] == FieldViolation("", f"and {9000 * 3 + 16 * 2 - len(named)} more")
    pairs = [{"field": violation.field, "description": violation.description} for violation in violations]
    assert error_details_pb2.BadRequest(field_violations=pairs).ByteSize() < 3072


def test_at_most_so_many_violations_are_named():
    found = Findings()
    for _ in range(bounds.MAX_VIOLATIONS + 5):
        found.add("a", "b")
    assert len(found.violations()) == bounds.MAX_VIOLATIONS + 1
    assert found.violations()[-1] == FieldViolation("", "and 5 more")


def test_an_invalid_request_of_any_size_is_judged_in_one_walk():
    assert [v.field for v in validate(request(messages=[turn(*[{}] * 20_001)] * 2))] == ["messages"]


STREAM_WRONG = {
    "a negative hold": ({"coalesce": {"seconds": -1}}, "coalesce"),
    "a long hold": ({"coalesce": {"seconds": 11}}, "coalesce"),
    "a fast heart": ({"heartbeat": {"nanos": 99_000_000}}, "heartbeat"),
    "a negative heart": ({"heartbeat": {"seconds": -1}}, "heartbeat"),
    "a slow heart": ({"heartbeat": {"seconds": 3601}}, "heartbeat"),
    "a heart of two signs": ({"heartbeat": {"seconds": 1, "nanos": -1}}, "heartbeat"),
}


@pytest.mark.parametrize(("fields", "path"), STREAM_WRONG.values(), ids=STREAM_WRONG)
def test_wrong_options_of_a_stream_are_named(fields, path):
    found = validate_stream_options(chat_pb2.StreamOptions(**fields))
    assert [violation.field for violation in found] == [path]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"coalesce": {}, "heartbeat": {}},
        {"coalesce": {"seconds": 10}, "heartbeat": {"nanos": 100_000_000}},
        {"inband_error": True, "include_final_response": True},
    ],
)
def test_right_options_of_a_stream_pass(fields):
    assert validate_stream_options(chat_pb2.StreamOptions(**fields)) == []


def test_a_field_whose_feature_is_to_come_is_named():
    found = features_off(request(idempotency_key="k", cache=1, data=99))
    assert [violation.field for violation in found] == ["idempotency_key", "cache"]
    assert all("leave it unset" in violation.description for violation in found)
    assert features_off(request(cache=0)) == []


# A length-delimited field 99, and the same as a group of varints.
UNKNOWN = b"\x9a\x06\x01x"
VARINT = b"\xa0\x06\x01"


def test_known_fields_are_not_unknown():
    assert unknown_fields(chat_pb2.StreamRequest(chat=generated(temperature=1), options={"inband_error": True})) == []


def test_unknown_fields_of_a_request_and_its_settings_are_named():
    made = generated(reasoning={"effort": 1})
    made.routing.max_attempts = 1
    for part in (made, made.generation, made.generation.reasoning, made.routing):
        part.MergeFromString(VARINT + UNKNOWN + UNKNOWN)
    inside = ["", "generation.", "generation.reasoning.", "routing."]
    assert unknown_fields(made) == [f"{path}{number}" for path in inside for number in (99, 100)]


def test_unknown_fields_of_a_stream_are_named_apart_from_those_of_its_chat():
    stream = chat_pb2.StreamRequest(chat=request())
    for part in (stream, stream.options, stream.chat):
        part.MergeFromString(UNKNOWN)
    assert unknown_fields(stream) == ["99", "options.99"]


def test_unknown_fields_are_named_only_so_often():
    made = request()
    made.MergeFromString(b"".join(bytes([number & 127 | 128, number >> 7, 1]) for number in range(800, 1600, 8)))
    assert len(unknown_fields(made)) == 20
    made.MergeFromString(UNKNOWN * 100_000)
    assert len(unknown_fields(made)) == 20


def test_a_large_request_is_not_searched_for_unknown_fields_but_its_settings_are():
    made = generated(temperature=1, response_format={"json_schema": {"name": "n", "schema_json": " " * 70_000}})
    for part in (made, made.generation, made.generation.response_format, made.routing):
        part.MergeFromString(UNKNOWN)
    assert unknown_fields(made, request_bytes=65_537) == ["routing.99"]
    assert unknown_fields(made, request_bytes=65_536) == [
        "99",
        "generation.99",
        "generation.response_format.99",
        "routing.99",
    ]
