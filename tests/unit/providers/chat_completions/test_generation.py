import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.messages import (
    GenerationConfig,
    JsonObjectFormat,
    JsonSchemaFormat,
    ReasoningConfig,
    ReasoningEffort,
)
from llmproxy_grpc.providers.chat_completions.quirks import COMPATIBLE, Quirks, ReasoningStyle
from llmproxy_grpc.providers.presets import PRESETS
from tests.providers.conversations import ask
from tests.unit.providers.chat_completions.encoding import body, generation, raw


def test_zero_is_a_value():
    assert generation(
        temperature=0.0, top_p=0.0, seed=0, presence_penalty=0.0, frequency_penalty=0.0, top_logprobs=0
    ) == {
        "temperature": 0.0,
        "top_p": 0.0,
        "seed": 0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "logprobs": True,
    }


@given(st.floats(min_value=0, max_value=2), st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_numbers_are_sent_exactly(temperature, seed):
    encoded = generation(temperature=temperature, seed=seed)
    assert encoded == {"temperature": temperature, "seed": seed}


def test_every_setting_has_its_field():
    assert generation(
        Quirks(top_k=True),
        max_output_tokens=5,
        top_k=40,
        stop_sequences=("a", "b"),
        candidate_count=2,
        top_logprobs=3,
        logit_bias={1: 5.0, 2: -0.5},
    ) == {
        "max_completion_tokens": 5,
        "top_k": 40,
        "stop": ["a", "b"],
        "n": 2,
        "logprobs": True,
        "top_logprobs": 3,
        "logit_bias": {"1": 5, "2": -0.5},
    }


def test_compatible_servers_are_sent_the_old_name_of_the_output_limit():
    assert generation(COMPATIBLE, max_output_tokens=5) == {"max_tokens": 5}


def test_what_a_vendor_lacks_is_left_out():
    quirks = Quirks(
        seed=False, n=False, penalties=False, logprobs=False, logit_bias=False, reasoning=ReasoningStyle.UNSUPPORTED
    )
    assert not generation(
        quirks,
        seed=1,
        top_k=3,
        candidate_count=2,
        presence_penalty=1.0,
        frequency_penalty=1.0,
        top_logprobs=2,
        logit_bias={1: 1.0},
        stop_sequences=("1", "2", "3", "4", "5"),
        reasoning=ReasoningConfig(ReasoningEffort.HIGH),
    )


@pytest.mark.parametrize(
    ("style", "config", "sent"),
    [
        (ReasoningStyle.EFFORT, ReasoningConfig(ReasoningEffort.NONE), {"reasoning_effort": "none"}),
        (ReasoningStyle.EFFORT, ReasoningConfig(ReasoningEffort.XHIGH, 100), {"reasoning_effort": "xhigh"}),
        (ReasoningStyle.EFFORT, ReasoningConfig(include=True), {}),
        (ReasoningStyle.THINKING, ReasoningConfig(ReasoningEffort.NONE), {"thinking": {"type": "disabled"}}),
        (ReasoningStyle.THINKING, ReasoningConfig(ReasoningEffort.MAX), {"reasoning_effort": "max"}),
        (
            ReasoningStyle.OBJECT,
            ReasoningConfig(ReasoningEffort.LOW, include=False),
            {"reasoning": {"effort": "low", "exclude": True}},
        ),
        (ReasoningStyle.OBJECT, ReasoningConfig(budget_tokens=9), {"reasoning": {"max_tokens": 9}}),
        (ReasoningStyle.OBJECT, ReasoningConfig(ReasoningEffort.LOW, 9), {"reasoning": {"max_tokens": 9}}),
        (ReasoningStyle.OBJECT, ReasoningConfig(ReasoningEffort.NONE, 9), {"reasoning": {"effort": "none"}}),
        (ReasoningStyle.OBJECT, ReasoningConfig(), {}),
    ],
)
def test_each_vendor_is_told_in_its_own_way_how_much_to_think(style, config, sent):
    assert generation(Quirks(reasoning=style), reasoning=config) == sent


@pytest.mark.parametrize("include", [True, False])
def test_thinking_that_has_to_come_back_is_not_kept_back_by_the_vendor_but_hidden_here(include):
    config = ReasoningConfig(ReasoningEffort.LOW, include=include)
    sent = generation(PRESETS["openrouter"].quirks, reasoning=config)["reasoning"]
    assert sent == {"effort": "low", "exclude": False}


def test_structured_output_keeps_the_schema_to_the_byte():
    schema = '{"type": "object","x":1e2}'
    request = ask(generation=GenerationConfig(response_format=JsonSchemaFormat("person", schema, strict=True)))
    assert b'"schema":' + schema.encode() in raw(request)
    assert body(request)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "person", "schema": json.loads(schema), "strict": True},
    }


def test_a_schema_without_a_name_gets_one():
    encoded = generation(response_format=JsonSchemaFormat("", "{}"))
    assert encoded["response_format"]["json_schema"] == {"name": "answer", "schema": {}}


def test_any_json_object_can_be_asked_for():
    assert generation(response_format=JsonObjectFormat()) == {"response_format": {"type": "json_object"}}


def test_a_vendor_without_schemas_is_asked_for_json_all_the_same():
    assert generation(Quirks(json_schema=False), response_format=JsonSchemaFormat("n", "{}")) == {
        "response_format": {"type": "json_object"}
    }
