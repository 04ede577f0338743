"""A working provider of a kind, for the contract that all of them keep."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from llmproxy_grpc.providers.provider import Provider


@dataclass(frozen=True)
class Specimen:
    """How to open a provider that repeats the last user text, without the spaces between its words."""

    name: str
    """What the tests call it: the kind, and the API where it speaks several."""
    kind: str
    model: str
    open: Callable[[], AbstractAsyncContextManager[Provider]]
    embed_model: str = ""
    """The model that makes vectors, where that is another."""
    names_unsupported: bool = True
    """Whether it knows itself what it cannot honour; else whoever stands behind it refuses that by its path."""
