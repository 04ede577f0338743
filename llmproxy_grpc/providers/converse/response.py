"""A whole answer of Converse as a ProviderResponse."""

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Raw

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import (
    Candidate,
    Message,
    OpaquePart,
    Part,
    ProviderResponse,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
)
from llmproxy_grpc.providers.converse.answer import (
    finish_reason,
    matched_stop_sequence,
    metadata,
    read_citation,
    read_usage,
)
from llmproxy_grpc.providers.converse.blocks import picture
from llmproxy_grpc.providers.converse.makers import NAMES
from llmproxy_grpc.providers.converse.shapes import ANSWER, BLOCK, OPAQUE, Reasoning
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.jsonio import decode, decode_whole
from llmproxy_grpc.providers.scrubbing import identifier
from llmproxy_grpc.providers.thinking_tokens import hidden_token, redacted_token, signature_token
from llmproxy_grpc.providers.tool_arguments import as_text


def read_answer(data: bytes, reply: Reply) -> ProviderResponse:
    """Reads an answer in one piece.

    Raises:
        UpstreamProtocolError: It is no answer.
        ProxyError: It is an error of the provider.
    """
    answer = decode_whole(data, ANSWER)
    if answer.output is None and (answer.message or answer.Message):
        raise reply.failed(data)
    if answer.output is None or answer.output.message is None or not answer.stopReason:
        raise UpstreamProtocolError("The provider's answer is not whole.")
    content = answer.output.message.content or []
    parts = tuple(_parts(content, new_id=reply.new_id, show=reply.request.shows_thinking))
    more = answer.additionalModelResponseFields
    reason = finish_reason(answer.stopReason)
    matched = matched_stop_sequence(reason, more)
    return ProviderResponse(
        candidates=(Candidate(0, Message(Role.ASSISTANT, parts), reason, answer.stopReason, matched),),
        usage=read_usage(answer, more),
        upstream_request_id=reply.request_id,
        provider_metadata=metadata(answer, more),
    )


def _parts(content: list[Raw], *, new_id: Callable[[], str], show: bool) -> Iterator[Part]:
    for raw in content:
        data = bytes(raw)
        block = decode(data, BLOCK)
        if block.text is not None:
            if block.text:
                yield TextPart(text=block.text)
        elif block.toolUse is not None and not block.toolUse.type:
            call = block.toolUse
            call_id = identifier(call.toolUseId) or new_id()
            yield ToolCallPart(id=call_id, name=call.name or "", arguments_json=as_text(call.input))
        elif block.reasoningContent is not None:
            yield from _thinking(block.reasoningContent, show=show)
        elif block.citationsContent is not None:
            yield _cited(block.citationsContent)
        elif block.image is not None and block.image.source is not None and block.image.source.bytes:
            yield picture(block.image.format, (block.image.source.bytes,))
        else:
            for kind, value in decode(data, OPAQUE).items():
                fields = value if isinstance(value, dict) else {"value": value}
                yield OpaquePart(provider_kind=NAMES[0], type=kind, value=fields)


def _thinking(reasoning: Reasoning, *, show: bool) -> Iterator[ReasoningPart]:
    if reasoning.redactedContent:
        yield ReasoningPart(redacted=True, continuity_token=redacted_token(reasoning.redactedContent))
    shown = reasoning.reasoningText
    if shown is None:
        return
    text, signature = shown.text or "", shown.signature or ""
    if show and text:
        yield ReasoningPart(text=text, continuity_token=signature_token(signature))
    elif signature:
        yield ReasoningPart(redacted=True, continuity_token=hidden_token(text, signature))


def _cited(block: dict[str, Any]) -> TextPart:
    said = [each.get("text") for each in _list(block.get("content")) if isinstance(each, dict)]
    text = "".join(each for each in said if isinstance(each, str))
    sources = tuple(source for each in _list(block.get("citations")) for source in read_citation(each))
    return TextPart(text=text, citations=sources)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
