"""Every format: what writes an example as its line."""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from llmproxy_grpc.datasets.example import Example
from llmproxy_grpc.datasets.formats import (
    alpaca,
    bedrock_converse,
    csv_figures,
    full_json,
    gemini,
    mistral,
    openai_chat,
    openai_preference,
    sharegpt,
    trl_kto,
    trl_preference,
    trl_prompt_completion,
)
from llmproxy_grpc.datasets.options import Format, Options
from llmproxy_grpc.datasets.skipping import Skipped, SkipReason, Unfit
from llmproxy_grpc.datasets.tokens import token_count

__all__ = ["FORMATS", "HEADERS", "PAIRED", "WITHOUT_REASONING_FIELD", "render"]

FORMATS: Final[Mapping[Format, Callable[[Example, Options], bytes]]] = {
    Format.OPENAI_CHAT: openai_chat.render,
    Format.OPENAI_PREFERENCE: openai_preference.render,
    Format.TRL_PROMPT_COMPLETION: trl_prompt_completion.render,
    Format.TRL_PREFERENCE: trl_preference.render,
    Format.TRL_KTO: trl_kto.render,
    Format.SHAREGPT: sharegpt.render,
    Format.ALPACA: alpaca.render,
    Format.GEMINI: gemini.render,
    Format.BEDROCK_CONVERSE: bedrock_converse.render,
    Format.MISTRAL: mistral.render,
    Format.FULL_JSON: full_json.render,
    Format.CSV: csv_figures.render,
}
HEADERS: Final[Mapping[Format, bytes]] = {Format.CSV: csv_figures.HEADER}
"""The first line of every part, of the formats that have one."""
PAIRED: Final = frozenset({Format.OPENAI_PREFERENCE, Format.TRL_PREFERENCE})
"""The formats that need `Example.pair`; TRL_KTO needs `Example.label`."""
WITHOUT_REASONING_FIELD: Final = frozenset({Format.SHAREGPT, Format.ALPACA})
"""The formats that have no field for thinking: ReasoningOutput.FIELD is to be refused, else it is left out."""


def render(form: Format, example: Example, options: Options) -> bytes | Skipped:
    """Writes an example as one line of a file, its line end included; or says why there is none.

    The same example, format and options give the same bytes.
    """
    try:
        line = FORMATS[form](example, options)
    except Unfit as unfit:
        return Skipped(unfit.reason)
    if options.max_tokens:
        judged = example if form in PAIRED else replace(example, pair=None)
        if token_count(judged, prefer_demonstration=options.prefer_demonstration) > options.max_tokens:
            return Skipped(SkipReason.TOO_MANY_TOKENS)
    return line
