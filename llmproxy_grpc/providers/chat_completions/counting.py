"""Tokens of a prompt, as the few servers of Chat Completions tell that count them."""

from typing import Any, Final

from msgspec import Struct
from msgspec.json import Decoder

from llmproxy_grpc.providers.counts import prompt_tokens
from llmproxy_grpc.providers.jsonio import decode

NOT_THERE: Final = frozenset({404, 405, 501})
"""What servers answer that do not count, as those of an older version."""


class Count(Struct, gc=False):
    """A count as llama.cpp names it, and as vLLM does, which sends the tokens as well."""

    input_tokens: Any = None
    count: Any = None


_COUNT = Decoder(Count)


def read_count(data: bytes) -> int:
    """Reads a count.

    Raises:
        UpstreamProtocolError: There is none; no prompt has 0 tokens.
    """
    counted = decode(data, _COUNT)
    return prompt_tokens(counted.count if counted.input_tokens is None else counted.input_tokens)
