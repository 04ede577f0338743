import pytest
from msgspec.structs import replace

from llmproxy_grpc.messages import (
    FunctionTool,
    GenerationConfig,
    Message,
    ProviderTool,
    Role,
    TextPart,
    ToolChoice,
    ToolMode,
)
from llmproxy_grpc.providers.chat_completions.quirks import PrefillStyle, Quirks
from tests.providers.conversations import ask
from tests.unit.providers.chat_completions.encoding import body, raw

TOOL = FunctionTool("look_up", "Looks up", '{ "type":"object" , "properties":{"n":{"maximum":9007199254740993}}}')


def test_a_bare_conversation_sends_nothing_that_was_not_asked_for():
    assert raw(ask("Hi")) == b'{"model":"gpt-test","messages":[{"role":"user","content":"Hi"}]}'


def test_a_stream_asks_for_its_usage():
    encoded = body(ask(), stream=True)
    assert encoded["stream"] is True
    assert encoded["stream_options"] == {"include_usage": True}


def test_a_server_without_stream_options_is_sent_none():
    assert "stream_options" not in body(ask(), Quirks(stream_options=False), stream=True)


def test_a_schema_reaches_the_model_to_the_byte():
    assert b'"parameters":' + TOOL.parameters_json_schema.encode() + b"}" in raw(ask(tools=(TOOL,)))


def test_a_tool_without_arguments_has_the_schema_of_none():
    none = {"type": "object", "properties": {}}
    assert body(ask(tools=(FunctionTool("now", strict=False),)))["tools"] == [
        {"type": "function", "function": {"name": "now", "parameters": none, "strict": False}}
    ]


def test_a_vendors_own_tool_is_sent_to_its_own_kind_alone():
    own = ProviderTool("openai", "custom", {"custom": {"name": "sh", "limit": 2.0}})
    other = ProviderTool("anthropic", "web_search", {})
    assert body(ask(tools=(own, other)))["tools"] == [{"type": "custom", "custom": {"name": "sh", "limit": 2}}]
    assert "tools" not in body(ask(tools=(other,), tool_choice=ToolChoice(ToolMode.AUTO)))


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ToolChoice(ToolMode.AUTO), {"tool_choice": "auto"}),
        (ToolChoice(ToolMode.NONE), {"tool_choice": "none"}),
        (ToolChoice(ToolMode.REQUIRED), {"tool_choice": "required"}),
        (ToolChoice(), {}),
        (
            ToolChoice(function_name="look_up", parallel_tool_calls=False),
            {"tool_choice": {"type": "function", "function": {"name": "look_up"}}, "parallel_tool_calls": False},
        ),
    ],
)
def test_the_choice_of_tools_is_sent_as_chosen(choice, sent):
    encoded = body(ask(tools=(TOOL,), tool_choice=choice))
    assert {name: encoded[name] for name in encoded if name in {"tool_choice", "parallel_tool_calls"}} == sent


def test_the_end_user_is_named():
    assert body(ask(end_user_id="u-1"))["user"] == "u-1"


def test_options_of_the_kind_are_merged_last_and_those_of_the_vendor_after_them():
    request = ask(
        generation=GenerationConfig(temperature=1.0),
        provider_options={
            "openai": {"temperature": 0.5, "top_logprobs": 2.0, "metadata": {"n": [1.0, 1.5, True, None]}},
            "groq": {"top_logprobs": 5.0},
            "anthropic": {"thinking": {}},
        },
    )
    encoded = body(request, kinds=("openai", "groq"))
    assert encoded["temperature"] == 0.5
    assert encoded["top_logprobs"] == 5
    assert encoded["metadata"] == {"n": [1, 1.5, True, None]}
    assert "thinking" not in encoded
    assert b'"n":[1,1.5,true,null]' in raw(request, kinds=("openai",))


@pytest.mark.parametrize("option", ["model", "messages", "stream", "api_key", "base_url", "headers", "authorization"])
def test_options_never_change_whom_is_asked_what(option):
    request = ask("Hi", provider_options={"openai": {option: "evil"}})
    assert body(request) == body(replace(request, provider_options={}))


@pytest.mark.parametrize("choice", [ToolChoice(ToolMode.NONE), ToolChoice(ToolMode.NONE, parallel_tool_calls=False)])
def test_calls_are_forbidden_without_their_tools_where_there_is_no_word_for_it(choice):
    request = ask("Hi", tools=(TOOL,), tool_choice=choice)
    assert body(request, Quirks(tool_choice=False)) == body(ask("Hi"))
    assert body(request)["tools"]


def test_a_vendor_that_calls_no_tools_is_sent_none():
    assert "tools" not in body(ask(tools=(TOOL,), tool_choice=ToolChoice(ToolMode.AUTO)), Quirks(tools=False))


@pytest.mark.parametrize(
    ("style", "of_message", "of_request"),
    [
        (PrefillStyle.PREFIX, {"prefix": True}, {}),
        (PrefillStyle.PREFIX_ECHOED, {"prefix": True}, {}),
        (PrefillStyle.CONTINUE, {}, {"continue_final_message": True, "add_generation_prompt": False}),
        (PrefillStyle.LAST, {}, {}),
    ],
)
def test_an_answer_that_has_begun_is_sent_as_what_to_go_on_with(style, of_message, of_request):
    begun = ask(messages=(Message(Role.USER, (TextPart("Hi"),)), Message(Role.ASSISTANT, (TextPart("Once"),))))
    quirks = Quirks(prefill=style)
    plain = body(begun, quirks)
    encoded = body(replace(begun, begun=True), quirks)
    assert encoded == {
        **plain,
        "messages": [plain["messages"][0], {**plain["messages"][1], **of_message}],
        **of_request,
    }
