"""Strategies for valid conversations, and the way of a request to protobuf, which the server never goes."""

from typing import Any

from hypothesis import strategies as st

from llmproxy_grpc import messages as m
from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2
from llmproxy_grpc.wire import from_json, from_message

INT32 = st.integers(-(2**31), 2**31 - 1)
NATURAL = st.integers(0, 2**31 - 1)
NAMES = st.from_regex(r"\A[A-Za-z0-9_.-]{1,40}\Z")
IDS = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=40)
TEXT = st.text(max_size=60)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
MILLISECONDS = st.integers(1000, 3_600_000).map(lambda milliseconds: milliseconds / 1000)


def optional(strategy):
    return st.none() | strategy


def tuples(strategy, *, min_size=0, max_size=3, **options):
    return st.lists(strategy, min_size=min_size, max_size=max_size, **options).map(tuple)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FLOATS | TEXT,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXT, values, max_size=3),
    max_leaves=8,
)
JSON_OBJECTS = st.dictionaries(TEXT, JSON, max_size=3)
SCHEMAS = st.sampled_from(['{"type":"object"}', "{}", ' {"a": [1, {"b": null}]} '])

CITATIONS = st.builds(m.Citation, uri=TEXT, title=TEXT, start_offset=NATURAL, end_offset=NATURAL, quoted_text=TEXT)
EXTRAS: dict[str, Any] = {
    "citations": tuples(CITATIONS, max_size=2),
    "continuity_token": st.binary(max_size=8),
    "cache_hint": optional(st.builds(m.CacheHint, optional(MILLISECONDS))),
}


def _media(**source):
    return st.builds(
        m.MediaPart,
        kind=st.sampled_from(m.MediaKind),
        media_type=st.just("image/png"),
        filename=NAMES,
        detail=st.sampled_from(m.MediaDetail),
        **source,
        **EXTRAS,
    )


MEDIA_PARTS = (
    _media(data=st.binary(min_size=1, max_size=8))
    | _media(uri=st.sampled_from(["https://example.com/a.png", "gs://bucket/a"]))
    | _media(file_id=IDS)
)
TEXT_PARTS = st.builds(m.TextPart, text=TEXT, **EXTRAS)
OPAQUE_PARTS = st.builds(m.OpaquePart, provider_kind=IDS, type=TEXT, value=JSON_OBJECTS, **EXTRAS)
RESULT_CONTENT = TEXT_PARTS | MEDIA_PARTS | OPAQUE_PARTS
REASONING_PARTS = st.builds(m.ReasoningPart, text=TEXT, redacted=st.booleans(), summary=st.booleans(), **EXTRAS)
REFUSAL_PARTS = st.builds(m.RefusalPart, text=TEXT, **EXTRAS)
TOOL_CALLS = st.builds(m.ToolCallPart, id=IDS, name=NAMES, arguments_json=TEXT, **EXTRAS)
TOOL_RESULTS = st.builds(
    m.ToolResultPart,
    tool_call_id=IDS,
    name=TEXT,
    content=tuples(RESULT_CONTENT, max_size=2),
    is_error=st.booleans(),
    **EXTRAS,
)
PARTS = RESULT_CONTENT | REASONING_PARTS | REFUSAL_PARTS | TOOL_CALLS | TOOL_RESULTS
MESSAGES = st.builds(m.Message, role=st.sampled_from(m.Role), parts=tuples(PARTS), name=TEXT)


@st.composite
def conversations(draw):
    """Valid ones: every result answers one call, which came before it."""
    turns = [m.Message(m.Role.USER, draw(tuples(RESULT_CONTENT, min_size=1)), draw(NAMES))]
    said = TEXT_PARTS | REASONING_PARTS | REFUSAL_PARTS
    if draw(st.booleans()):
        calls = draw(tuples(TOOL_CALLS, min_size=1, unique_by=lambda call: call.id))
        turns.append(m.Message(m.Role.ASSISTANT, draw(tuples(said, max_size=2)) + calls))
        results = draw(tuples(TOOL_RESULTS, min_size=len(calls), max_size=len(calls)))
        answers = [replace_id(result, call.id) for result, call in zip(results, calls, strict=True)]
        turns.append(m.Message(m.Role.TOOL, tuple(answers)))
    if draw(st.booleans()):
        turns.append(m.Message(m.Role.ASSISTANT, draw(tuples(said, min_size=1))))
    return tuple(turns)


def replace_id(result, tool_call_id):
    return m.ToolResultPart(
        tool_call_id=tool_call_id,
        **{name: getattr(result, name) for name in result.__struct_fields__ if name != "tool_call_id"},
    )


FUNCTION_TOOLS = st.builds(
    m.FunctionTool,
    name=NAMES,
    description=TEXT,
    parameters_json_schema=st.just("") | SCHEMAS,
    strict=optional(st.booleans()),
)
PROVIDER_TOOLS = st.builds(m.ProviderTool, provider_kind=IDS, type=IDS, config=JSON_OBJECTS)
GENERATION = st.builds(
    m.GenerationConfig,
    max_output_tokens=optional(st.integers(1, 2**31 - 1)),
    temperature=optional(st.floats(0, 2)),
    top_p=optional(st.floats(0, 1)),
    top_k=optional(NATURAL),
    stop_sequences=tuples(st.text(min_size=1, max_size=10)),
    seed=optional(st.integers(-(2**63), 2**63 - 1)),
    presence_penalty=optional(st.floats(-2, 2)),
    frequency_penalty=optional(st.floats(-2, 2)),
    candidate_count=optional(st.integers(1, 128)),
    top_logprobs=optional(st.integers(0, 20)),
    reasoning=optional(
        st.builds(
            m.ReasoningConfig,
            effort=st.sampled_from(m.ReasoningEffort),
            budget_tokens=optional(NATURAL),
            include=optional(st.booleans()),
        )
    ),
    response_format=optional(
        st.builds(m.JsonObjectFormat)
        | st.builds(m.JsonSchemaFormat, name=NAMES, schema_json=SCHEMAS, strict=optional(st.booleans()))
    ),
    logit_bias=optional(st.dictionaries(NATURAL, st.floats(-100, 100), min_size=1, max_size=3)),
    output_modalities=tuples(st.sampled_from(m.Modality)),
)
ROUTING = st.builds(
    m.RoutingPolicy,
    providers=tuples(IDS),
    fallback_models=tuples(IDS),
    max_attempts=optional(st.integers(1, 9)),
    first_token_timeout=optional(MILLISECONDS),
    idle_timeout=optional(MILLISECONDS),
    drop_unsupported=st.booleans(),
)


@st.composite
def requests(draw):
    tools = draw(tuples(FUNCTION_TOOLS | PROVIDER_TOOLS, unique_by=lambda tool: getattr(tool, "name", id(tool))))
    functions = [tool.name for tool in tools if isinstance(tool, m.FunctionTool)]
    choices = st.builds(
        m.ToolChoice,
        mode=st.sampled_from(m.ToolMode) if tools else st.just(m.ToolMode.UNSPECIFIED),
        parallel_tool_calls=optional(st.booleans()),
    )
    if functions:
        choices |= st.builds(m.ToolChoice, function_name=st.sampled_from(functions))
    return m.ChatRequest(
        model=draw(IDS),
        messages=draw(conversations()),
        tools=tools,
        tool_choice=draw(optional(choices)),
        generation=draw(GENERATION),
        end_user_id=draw(NAMES),
        labels=draw(st.dictionaries(IDS, TEXT, max_size=3)),
        routing=draw(ROUTING),
        provider_options=draw(st.dictionaries(st.sampled_from(["openai", "vllm"]), JSON_OBJECTS)),
        conversation_id=draw(NAMES),
    )


def from_request(request):
    """Gives a request as protobuf."""
    target = chat_pb2.ChatRequest(
        model=request.model,
        messages=[from_message(message) for message in request.messages],
        tools=[_from_tool(tool) for tool in request.tools],
        end_user_id=request.end_user_id,
        labels=request.labels,
        conversation_id=request.conversation_id,
    )
    if request.tool_choice is not None:
        _fill_choice(target.tool_choice, request.tool_choice)
    _fill_generation(target.generation, request.generation)
    _fill_routing(target.routing, request.routing)
    for kind, options in request.provider_options.items():
        target.provider_options[kind].CopyFrom(from_json(options))
    return target


def _from_tool(tool):
    if isinstance(tool, m.ProviderTool):
        config = from_json(tool.config)
        return content_pb2.Tool(provider={"provider_kind": tool.provider_kind, "type": tool.type, "config": config})
    function = {name: getattr(tool, name) for name in tool.__struct_fields__}
    return content_pb2.Tool(function=content_pb2.FunctionTool(**function))


def _fill_choice(target, choice):
    target.SetInParent()
    if choice.function_name:
        target.function_name = choice.function_name
    else:
        target.mode = choice.mode
    if choice.parallel_tool_calls is not None:
        target.parallel_tool_calls = choice.parallel_tool_calls


def _fill_generation(target, config):
    for name in config.__struct_fields__:
        value = getattr(config, name)
        if value is None or value == ():
            continue
        if name == "reasoning":
            target.reasoning.SetInParent()
            target.reasoning.effort = value.effort
            _set(target.reasoning, "budget_tokens", value.budget_tokens)
            _set(target.reasoning, "include", value.include)
        elif name == "response_format":
            _fill_format(target.response_format, value)
        elif name == "logit_bias":
            target.logit_bias.update(value)
        elif isinstance(value, tuple):
            getattr(target, name).extend(value)
        else:
            setattr(target, name, value)


def _fill_format(target, form):
    if isinstance(form, m.JsonObjectFormat):
        target.json_object.SetInParent()
        return
    target.json_schema.name = form.name
    target.json_schema.schema_json = form.schema_json
    _set(target.json_schema, "strict", form.strict)


def _fill_routing(target, routing):
    target.providers.extend(routing.providers)
    target.fallback_models.extend(routing.fallback_models)
    _set(target, "max_attempts", routing.max_attempts)
    for name in ("first_token_timeout", "idle_timeout"):
        seconds = getattr(routing, name)
        if seconds is not None:
            getattr(target, name).FromMilliseconds(round(seconds * 1000))
    if routing.drop_unsupported:
        target.unsupported_params = chat_pb2.UNSUPPORTED_PARAMS_DROP


def _set(target, name, value):
    if value is not None:
        setattr(target, name, value)
