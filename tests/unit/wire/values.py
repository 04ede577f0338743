"""Strategies for valid conversations, and for answers."""

from array import array
from typing import Any

from hypothesis import strategies as st

from llmproxy_grpc import messages as m

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
        data=draw(st.integers(0, 9)),
    )


EMBED_REQUESTS = st.builds(
    m.EmbedRequest,
    model=IDS,
    inputs=tuples(TEXT_PARTS | MEDIA_PARTS, min_size=1),
    dimensions=optional(st.integers(1, 16_384)),
    purpose=st.sampled_from(m.EmbedPurpose),
    end_user_id=NAMES,
    labels=st.dictionaries(IDS, TEXT, max_size=3),
    routing=ROUTING,
    provider_options=st.dictionaries(st.sampled_from(["openai", "vllm"]), JSON_OBJECTS),
)

MODALITY_TOKENS = st.builds(m.ModalityTokens, st.sampled_from(m.Modality), NATURAL, NATURAL)
USAGES = st.builds(
    m.Usage,
    *[NATURAL] * 6,
    modality_tokens=tuples(MODALITY_TOKENS),
    cost=optional(st.builds(m.Cost, st.sampled_from(["USD", "EUR"]), st.integers(0, 10**18))),
    source=st.sampled_from(m.UsageSource),
)
TOKENS = st.builds(m.TokenLogprob, token=TEXT, logprob=FLOATS, token_bytes=st.binary(max_size=4))
LOGPROBS = tuples(st.builds(m.TokenLogprob, token=TEXT, logprob=FLOATS, top=tuples(TOKENS)), max_size=2)
WARNINGS = tuples(st.builds(m.Warning, NAMES, TEXT, TEXT))
METADATA = st.dictionaries(st.sampled_from(["openai", "anthropic"]), JSON_OBJECTS)
CANDIDATES = st.builds(
    m.Candidate,
    index=NATURAL,
    message=MESSAGES,
    finish_reason=st.sampled_from(m.FinishReason),
    raw_finish_reason=TEXT,
    matched_stop_sequence=TEXT,
    logprobs=LOGPROBS,
)
RESPONSES = st.builds(
    m.ProviderResponse,
    candidates=tuples(CANDIDATES),
    usage=optional(USAGES),
    warnings=WARNINGS,
    relayed_metadata=METADATA,
)
VECTORS = st.lists(st.floats(width=32, allow_nan=False), max_size=40).map(lambda numbers: array("f", numbers))
EMBED_RESPONSES = st.builds(m.EmbedResponse, tuples(VECTORS), optional(USAGES), warnings=WARNINGS)

_PLACE: dict[str, Any] = {
    "candidate_index": NATURAL,
    "part_index": NATURAL,
    "continuity_token": st.binary(max_size=8),
    "citations": tuples(CITATIONS, max_size=2),
    "logprobs": LOGPROBS,
}
DELTAS = (
    st.builds(m.TextDelta, text=TEXT, **_PLACE)
    | st.builds(m.ReasoningDelta, text=TEXT, redacted=st.booleans(), summary=st.booleans(), **_PLACE)
    | st.builds(m.RefusalDelta, text=TEXT, **_PLACE)
    | st.builds(m.ToolCallDelta, id=TEXT, name=TEXT, arguments_json=TEXT, **_PLACE)
    | st.builds(m.PartDelta, part=PARTS, **_PLACE)
)
FINISHES = st.builds(m.CandidateFinish, NATURAL, st.sampled_from(m.FinishReason), TEXT, TEXT)
