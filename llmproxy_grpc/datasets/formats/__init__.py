"""Every format: what writes an example as its line."""

from collections.abc import Callable, Mapping
from typing import Final

from llmproxy_grpc.datasets.example import Example
from llmproxy_grpc.datasets.formats import openai_chat
from llmproxy_grpc.datasets.options import Format, Options
from llmproxy_grpc.datasets.skipping import Skipped, SkipReason, Unfit
from llmproxy_grpc.datasets.tokens import token_count

__all__ = ["FORMATS", "render"]

FORMATS: Final[Mapping[Format, Callable[[Example, Options], bytes]]] = {
    Format.OPENAI_CHAT: openai_chat.render,
}


def render(form: Format, example: Example, options: Options) -> bytes | Skipped:
    """Writes an example as one line of a file, its line end included; or says why there is none.

    The same example, format and options give the same bytes.
    """
    try:
        line = FORMATS[form](example, options)
    except Unfit as unfit:
        return Skipped(unfit.reason)
    if options.max_tokens:
        as_answered = not (options.prefer_demonstration and example.demonstration is not None)
        if token_count(example, line, as_answered=as_answered) > options.max_tokens:
            return Skipped(SkipReason.TOO_MANY_TOKENS)
    return line
