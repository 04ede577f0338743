"""What the generations of models take, and what callers are told of the rest."""

import pytest

from llmproxy_grpc.messages import (
    FunctionTool,
    GenerationConfig,
    JsonSchemaFormat,
    ProviderTool,
    ReasoningConfig,
    ReasoningEffort,
    ToolChoice,
    ToolMode,
)
from llmproxy_grpc.providers.generate_content.features import adapt_content
from tests.providers.conversations import ask
from tests.unit.providers.generate_content.encoding import OTHER, SCHEMA, THREE, TWO, body, generation

PRO, OLD_PRO, LITE, NEW = "gemini-3.1-pro-preview", "gemini-2.5-pro", "gemini-2.5-flash-lite", "gemini-4-argon"
NONE, MINIMAL, MAX = ReasoningEffort.NONE, ReasoningEffort.MINIMAL, ReasoningEffort.MAX


@pytest.mark.parametrize(
    ("model", "reasoning", "sent"),
    [
        (TWO, ReasoningConfig(), {}),
        (TWO, ReasoningConfig(NONE), {"thinkingBudget": 0}),
        (TWO, ReasoningConfig(MAX, include=True), {"thinkingBudget": 24576, "includeThoughts": True}),
        (TWO, ReasoningConfig(MAX, budget_tokens=77), {"thinkingBudget": 77}),
        (TWO, ReasoningConfig(MINIMAL, budget_tokens=9000), {"thinkingBudget": 512}),
        (TWO, ReasoningConfig(NONE, budget_tokens=9000), {"thinkingBudget": 0}),
        (OLD_PRO, ReasoningConfig(NONE, budget_tokens=9000), {"thinkingBudget": 512}),
        (OLD_PRO, ReasoningConfig(MAX), {"thinkingBudget": 32768}),
        (OLD_PRO, ReasoningConfig(NONE), {"thinkingBudget": 512}),
        (OLD_PRO, ReasoningConfig(budget_tokens=0), {"thinkingBudget": 128}),
        (LITE, ReasoningConfig(budget_tokens=100), {"thinkingBudget": 512}),
        (LITE, ReasoningConfig(budget_tokens=-1), {"thinkingBudget": 0}),
        (LITE, ReasoningConfig(budget_tokens=99_999), {"thinkingBudget": 24576}),
        (
            THREE,
            ReasoningConfig(ReasoningEffort.LOW, include=False),
            {"thinkingLevel": "LOW", "includeThoughts": False},
        ),
        (THREE, ReasoningConfig(NONE), {"thinkingLevel": "MINIMAL"}),
        (THREE, ReasoningConfig(budget_tokens=100), {}),
        (PRO, ReasoningConfig(MINIMAL), {"thinkingLevel": "LOW"}),
        (PRO, ReasoningConfig(MAX), {"thinkingLevel": "HIGH"}),
        (NEW, ReasoningConfig(NONE), {"thinkingLevel": "LOW"}),
        ("gemini-3.6-flash", ReasoningConfig(MINIMAL), {"thinkingLevel": "MINIMAL"}),
        ("gemini-3.8-flash", ReasoningConfig(MINIMAL), {"thinkingLevel": "LOW"}),
        ("gemini-flash-latest", ReasoningConfig(MINIMAL), {"thinkingLevel": "LOW"}),
        ("gemini-2.0-flash", ReasoningConfig(MAX, include=True), {}),
        (OTHER, ReasoningConfig(NONE), {"thinkingBudget": 0}),
        (OTHER, ReasoningConfig(MINIMAL), {"thinkingLevel": "MINIMAL"}),
        (OTHER, ReasoningConfig(budget_tokens=100), {"thinkingBudget": 100}),
    ],
)
def test_how_much_to_think_is_said_as_the_model_wants_it(model, reasoning, sent):
    assert generation(model, reasoning=reasoning).get("thinkingConfig", {}) == sent


@pytest.mark.parametrize(
    ("model", "reasoning", "field"),
    [
        (THREE, ReasoningConfig(NONE), "effort"),
        (OLD_PRO, ReasoningConfig(NONE), "effort"),
        (OLD_PRO, ReasoningConfig(NONE, budget_tokens=9000), "effort"),
        (LITE, ReasoningConfig(budget_tokens=1), "budget_tokens"),
    ],
)
def test_a_caller_is_told_of_thinking_that_the_model_does_otherwise(model, reasoning, field):
    adapted = adapt_content(ask(generation=GenerationConfig(reasoning=reasoning)), model)
    assert adapted.unsupported == ()
    assert [change.field for change in adapted.changes] == [f"generation.reasoning.{field}"]


SET = GenerationConfig(
    temperature=0.0,
    top_p=0.5,
    top_k=3,
    presence_penalty=1.0,
    candidate_count=2,
    top_logprobs=0,
    reasoning=ReasoningConfig(ReasoningEffort.LOW),
)


@pytest.mark.parametrize(
    ("model", "vertex", "lacks"),
    [
        (OTHER, False, ""),
        ("gemini-2.0-flash", False, "reasoning.effort"),
        (TWO, True, ""),
        (TWO, False, "presence_penalty"),
        (THREE, True, "presence_penalty candidate_count"),
        ("gemini-3.5-flash", True, "temperature top_p top_k presence_penalty top_logprobs candidate_count"),
        (NEW, False, "temperature top_p top_k presence_penalty top_logprobs candidate_count"),
    ],
)
def test_what_a_generation_ignores_or_refuses_is_named(model, vertex, lacks):
    found = adapt_content(ask(generation=SET), model, vertex=vertex).unsupported
    assert [each.field for each in found] == [f"generation.{name}" for name in lacks.split()]


JSON = GenerationConfig(response_format=JsonSchemaFormat("n", SCHEMA))


@pytest.mark.parametrize(
    ("model", "choice", "lacks"),
    [
        (TWO, None, True),
        (THREE, None, False),
        (THREE, ToolChoice(ToolMode.AUTO), False),
        (THREE, ToolChoice(ToolMode.REQUIRED), True),
        (THREE, ToolChoice(function_name="f"), True),
    ],
)
def test_json_that_the_api_refuses_beside_functions_is_named(model, choice, lacks):
    request = ask(tools=(FunctionTool("f"),), tool_choice=choice, generation=JSON)
    adapted = adapt_content(request, model)
    assert [each.field for each in adapted.unsupported] == ["generation.response_format.json_schema"] * lacks
    assert ("generationConfig" in body(request, model)) is not lacks
    assert adapt_content(ask(generation=JSON), model).unsupported == ()


FUNCTION, SEARCH = FunctionTool("f"), ProviderTool("gemini", "googleSearch", {})
FOREIGN = ProviderTool("another", "search", {})


@pytest.mark.parametrize("model", [TWO, "gemini-2.0-flash", THREE, OTHER])
def test_older_models_take_no_tools_of_their_own_beside_functions(model):
    adapted = adapt_content(ask(tools=(FOREIGN, FUNCTION, SEARCH)), model)
    alone = model not in {THREE, OTHER}
    assert [each.field for each in adapted.unsupported] == ["tools[0].provider", *["tools[2].provider"] * alone]
    assert adapted.request.tools == ((FUNCTION,) if alone else (FUNCTION, SEARCH))
    assert adapt_content(ask(tools=(SEARCH,)), model).unsupported == ()


@pytest.mark.parametrize(("model", "lacks"), [(TWO, True), (THREE, False), (OTHER, False)])
def test_older_models_bind_no_answer_to_json_beside_tools_of_their_own_either(model, lacks):
    adapted = adapt_content(ask(tools=(SEARCH,), generation=JSON), model)
    assert [each.field for each in adapted.unsupported] == ["generation.response_format.json_schema"] * lacks


def test_no_tool_of_its_own_can_be_demanded_and_none_is_there_where_none_may_be_called():
    forbidden = ask(tools=(FUNCTION, SEARCH), tool_choice=ToolChoice(ToolMode.NONE))
    assert "googleSearch" not in str(body(forbidden, THREE))
    assert "tools" not in body(ask(tools=(SEARCH,), tool_choice=ToolChoice(ToolMode.NONE)), THREE)
    demanded = adapt_content(ask(tools=(SEARCH,), tool_choice=ToolChoice(ToolMode.REQUIRED)), THREE)
    assert [each.field for each in demanded.unsupported] == ["tool_choice.mode"]
    assert adapt_content(ask(tools=(SEARCH,), tool_choice=ToolChoice(ToolMode.AUTO)), THREE).unsupported == ()
