"""Ids of tool calls as Bedrock takes them: of the letters that it knows, and each of them once in a conversation."""

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

from msgspec.structs import replace

from llmproxy_grpc.datasets.turns import Turn

_KNOWN: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")


def with_known_ids(turns: Iterable[Turn]) -> Iterator[Turn]:
    """Gives the turns of a conversation whose calls are answered; ids that Bedrock refuses are others then.

    The same id always becomes the same one, so that two exports have the same bytes.
    """
    used: set[str] = set()
    given: dict[str, str] = {}
    for turn in turns:
        for call in turn.calls:
            given[call.id] = _unused(call.id, used)
            used.add(given[call.id])
        if turn.calls:
            yield replace(turn, calls=tuple(replace(call, id=given[call.id]) for call in turn.calls))
        elif turn.result_of:
            yield replace(turn, result_of=given[turn.result_of])
        else:
            yield turn


def _unused(call_id: str, used: set[str]) -> str:
    made, seed = call_id, call_id
    while made in used or not _KNOWN.fullmatch(made):
        made = f"call_{blake2b(seed.encode('utf-8', 'replace'), digest_size=12).hexdigest()}"
        seed += "+"
    return made
