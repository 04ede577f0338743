"""The JSON that comes back, as far as it matters: liberal shapes, in which almost anything may be missing or null."""

from typing import Any, Generic, TypeVar

from msgspec import Raw, Struct
from msgspec.json import Decoder

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.providers.jsonio import decode, decode_whole

Arguments = TypeVar("Arguments")
_NO_ARGUMENTS: Any = None


class Function(Struct, Generic[Arguments], gc=False):
    """The function of a tool call; `arguments` is text, and an object at some servers, of which the bytes are kept."""

    name: str | None = None
    arguments: Arguments = _NO_ARGUMENTS


class CustomTool(Struct, gc=False):
    """A tool call whose input is free text."""

    name: str | None = None
    input: str | None = None


class ToolCall(Struct, Generic[Arguments], gc=False):
    """A tool call, or a fragment of one."""

    index: int | float | None = None
    id: Any = None
    function: Function[Arguments] | None = None
    custom: CustomTool | None = None


class Content(Struct, Generic[Arguments], gc=False):
    """A message, or the delta of one: both have the same fields."""

    content: str | list[Any] | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    refusal: str | None = None
    audio: Any = None
    images: Any = None
    tool_calls: list[ToolCall[Arguments]] | None = None
    function_call: Function[Arguments] | None = None
    annotations: Any = None


class Choice(Struct, Generic[Arguments], gc=False):
    """A candidate, or a piece of one.

    `stop_reason` and `matched_stop` are vLLM's and SGLang's, `content_filter_results` are Azure's.
    """

    index: int | float | None = None
    message: Content[Arguments] | None = None
    delta: Content[Arguments] | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    stop_reason: Any = None
    matched_stop: Any = None
    usage: Any = None
    error: Any = None
    content_filter_results: Any = None

    def number(self, default: int) -> int:
        """The candidate's number, in the 32 bits of the API; `default` if it has none."""
        return default if self.index is None else min(max(int(self.index), 0), 2**31 - 1)


class Vendor(Struct, gc=False):
    """Groq's own corner, where older streams put the usage."""

    usage: Any = None


class Answer(Struct, Generic[Arguments], gc=False):
    """A whole answer, a chunk of one, or an error: the wire does not tell them apart beforehand."""

    id: Any = None
    object: Any = None
    model: Any = None
    choices: list[Choice[Arguments]] | None = None
    usage: Any = None
    x_groq: Vendor | None = None
    system_fingerprint: Any = None
    service_tier: Any = None
    citations: Any = None
    search_results: Any = None
    prompt_filter_results: Any = None
    error: Any = None
    detail: Any = None

    def reported_usage(self) -> Any:
        """The usage as it came, wherever it stands; None if it does not."""
        if self.usage is not None:
            return self.usage
        if self.x_groq is not None:
            return self.x_groq.usage
        return self.choices[0].usage if self.choices else None


_TEXTS: Decoder[Answer[str | None]] = Decoder(Answer[str | None])
_OBJECTS: Decoder[Answer[Raw]] = Decoder(Answer[Raw])


def decode_answer(data: bytes) -> Answer[Any]:
    """Decodes an answer, or a chunk of one; lone surrogates may be left in it as `decode` leaves them.

    Arguments are text in nearly all of them: only what cannot be read so is read again, for the bytes of objects.

    Raises:
        UpstreamProtocolError: It is none.
    """
    try:
        return _TEXTS.decode(data)
    except (ValueError, RecursionError):
        return _decode_rare(data)


def _decode_rare(data: bytes) -> Answer[Any]:
    try:
        return decode(data, _TEXTS)
    except UpstreamProtocolError:
        return decode_whole(data, _OBJECTS)


class ListedModel(Struct, gc=False):
    """One entry of a list of models; vendors agree on nothing but its id."""

    id: Any = None
    name: Any = None
    model: Any = None
    context_length: Any = None
    context_window: Any = None
    max_model_len: Any = None
    max_context_length: Any = None
    max_completion_tokens: Any = None
    meta: Any = None
    top_provider: Any = None
    architecture: Any = None
    supported_parameters: Any = None
    capabilities: Any = None
    type: Any = None
    supports_chat: Any = None
    supports_tools: Any = None
    supports_image_input: Any = None
    pricing: Any = None


class ModelList(Struct, gc=False):
    """A list of models: `data` at most vendors, `models` at some, both at llama.cpp."""

    data: list[ListedModel] | None = None
    models: list[ListedModel] | None = None
    links: Any = None


MODEL_LIST: Decoder[ModelList | list[ListedModel]] = Decoder(ModelList | list[ListedModel])
