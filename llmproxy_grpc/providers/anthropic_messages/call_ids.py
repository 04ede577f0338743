"""Ids of tool calls as Anthropic wants them: of letters that it knows, and each of them once in a conversation."""

import re
from hashlib import blake2s
from typing import Final

_KNOWN: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class CallIds:
    """The ids of one conversation; what another provider called otherwise, or twice, gets a name of ours."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._given: dict[str, str] = {}

    def of_call(self, call_id: str) -> str:
        """The id of the next call."""
        given = call_id if _KNOWN.fullmatch(call_id) else _digest(call_id)
        if given in self._used:
            given = _digest(f"{call_id} {len(self._used)}")
        self._used.add(given)
        self._given[call_id] = given
        return given

    def of_result(self, call_id: str) -> str:
        """The id of the call that a result answers: the latest one of this id."""
        return self._given.get(call_id, call_id)


def _digest(call_id: str) -> str:
    # The same in every request, so that what the provider has cached stays the same.
    return f"call_{blake2s(call_id.encode('utf-8', 'replace'), digest_size=12).hexdigest()}"
