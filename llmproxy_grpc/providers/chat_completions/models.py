"""Lists of models, in the shapes that vendors give them."""

from collections.abc import Iterator, Sequence
from typing import Any

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.providers.chat_completions.shapes import MODEL_LIST, ListedModel
from llmproxy_grpc.providers.jsonio import decode, joined
from llmproxy_grpc.providers.provider import UpstreamModel

MAX_MODELS = 10_000
"""A longer list is cut: the largest gateways name some hundreds."""

_MAX_NAME = 256


def read_models(body: bytes) -> tuple[UpstreamModel, ...]:
    """Reads `{"data": [...]}`, `{"models": [...]}` or a bare list; entries without a usable name are left out.

    Raises:
        UpstreamProtocolError: It is no list of models.
    """
    answer = decode(body, MODEL_LIST)
    listed = answer if isinstance(answer, list) else answer.models if answer.data is None else answer.data
    if listed is None:
        raise UpstreamProtocolError("The provider's list of models cannot be read.")
    return tuple(_models(listed[:MAX_MODELS]))


def _models(listed: Sequence[ListedModel]) -> Iterator[UpstreamModel]:
    seen: set[str] = set()
    for entry in listed:
        name = _name(entry)
        if name and name not in seen:
            seen.add(name)
            yield UpstreamModel(name, _limit(entry), _tokens(entry.max_completion_tokens))


def _name(entry: ListedModel) -> str:
    for name in (entry.id, entry.name, entry.model):
        if isinstance(name, str) and 0 < len(name) <= _MAX_NAME and name.isprintable():
            return joined(name.removeprefix("models/"))
    return ""


def _limit(entry: ListedModel) -> int:
    limits = (entry.max_model_len, entry.context_length, entry.context_window)
    return next((tokens for tokens in map(_tokens, limits) if tokens), 0)


def _tokens(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else 0
