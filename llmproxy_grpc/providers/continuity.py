"""Continuity tokens of the APIs of OpenAI's family: JSON objects of what a part has no place for."""

from collections.abc import Mapping
from typing import Any

import msgspec

from llmproxy_grpc.providers.jsonio import joined_deeply

_OBJECT = msgspec.json.Decoder(dict[str, Any])


def token_of(fields: Mapping[str, Any], *names: str) -> bytes:
    """The token that holds these of the fields; empty if there are none."""
    kept = {name: fields[name] for name in names if fields.get(name) is not None}
    if not kept:
        return b""
    try:
        return msgspec.json.encode(kept)
    except UnicodeEncodeError:
        return msgspec.json.encode(joined_deeply(kept))


def fields_of(token: bytes) -> dict[str, Any]:
    """The fields that a token holds; none if it is of another API."""
    try:
        return _OBJECT.decode(token) if token else {}
    except ValueError:
        return {}
