"""What every call of another proxy carries beside its request: our key, and what goes along with the call it serves."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from llmproxy_grpc.calls import HOPS_KEY, Call
from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.credentials import header_sets

_NAME: Final = re.compile(r"(?!grpc-)[0-9a-z_.-]+(?<!-bin)")


def metadata_sets(config: ProviderConfig) -> Sequence[Mapping[str, str]]:
    """One set of entries for each key: the configured headers, and the key as a bearer token.

    Raises:
        ValueError: gRPC metadata cannot have a header of that name.
    """
    sets = header_sets(config, "authorization", scheme="Bearer", own_address=False)
    for name in sets[0]:
        if not _NAME.fullmatch(name):
            raise ValueError(f"provider {config.name!r} has the header {name}, which gRPC metadata cannot have")
    return sets


def along(call: Call | None) -> dict[str, str]:
    """What goes along with the call that is served: its id, its trace and its hops."""
    if call is None:
        return {}
    return {"x-request-id": call.request_id, HOPS_KEY: str(call.hops + 1), **dict(call.trace)}
