"""Lists of models, in the shapes that vendors give them."""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.providers.chat_completions.abilities import abilities
from llmproxy_grpc.providers.chat_completions.money import read_price
from llmproxy_grpc.providers.chat_completions.shapes import MODEL_LIST, ListedModel, ModelList
from llmproxy_grpc.providers.counts import clipped
from llmproxy_grpc.providers.jsonio import decode, joined
from llmproxy_grpc.providers.listing import MOST_ENTRIES
from llmproxy_grpc.providers.provider import UpstreamModel

_MAX_NAME = 256


def read_page(body: bytes) -> tuple[tuple[UpstreamModel, ...], str]:
    """Reads one page: `{"data": [...]}`, `{"models": [...]}` or a bare list, less the entries without a usable name.

    Gives the query of the next page as well; empty if there is none.

    Raises:
        UpstreamProtocolError: It is no list of models.
    """
    answer = decode(body, MODEL_LIST)
    listed = answer if isinstance(answer, list) else answer.models if answer.data is None else answer.data
    if listed is None:
        raise UpstreamProtocolError("The provider's list of models cannot be read.")
    return tuple(_models(listed[:MOST_ENTRIES])), "" if isinstance(answer, list) else _next(answer)


def _models(listed: Sequence[ListedModel]) -> Iterator[UpstreamModel]:
    seen: set[str] = set()
    for entry in listed:
        name = _name(entry)
        if name and name not in seen:
            seen.add(name)
            able = abilities(entry)
            yield UpstreamModel(
                name,
                _input_limit(entry),
                _output_limit(entry),
                capabilities=able.capabilities,
                input_modalities=able.inputs,
                output_modalities=able.outputs,
                price=read_price(entry.pricing),
            )


def _name(entry: ListedModel) -> str:
    for name in (entry.id, entry.name, entry.model):
        if isinstance(name, str) and 0 < len(name) <= _MAX_NAME and name.isprintable():
            return joined(name.removeprefix("models/"))
    return ""


def _input_limit(entry: ListedModel) -> int:
    serving = entry.meta if isinstance(entry.meta, dict) else {}  # llama.cpp's own corner
    limits = (
        entry.max_model_len,
        entry.context_length,
        entry.context_window,
        entry.max_context_length,
        serving.get("n_ctx"),
    )
    return next((tokens for tokens in map(_tokens, limits) if tokens), 0)


def _output_limit(entry: ListedModel) -> int:
    provider = entry.top_provider if isinstance(entry.top_provider, dict) else {}  # OpenRouter's
    return _tokens(entry.max_completion_tokens) or _tokens(provider.get("max_completion_tokens"))


def _tokens(value: Any) -> int:
    tokens = clipped(value)
    return tokens if tokens == value and not isinstance(value, bool) else 0


def _next(answer: ModelList) -> str:
    link = answer.links.get("next") if isinstance(answer.links, dict) else None
    return urlsplit(link).query if isinstance(link, str) and link.isascii() and link.isprintable() else ""
