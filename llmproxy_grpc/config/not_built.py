"""The keys whose feature is not built yet: using one is an error, so that nothing configured is silently ignored.

Whoever builds a feature deletes its line.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from llmproxy_grpc.config.scalars import number_in
from llmproxy_grpc.config.tree import KeyPath, Node, Problem, patterns, plain, walk

NOT_BUILT: Final[Mapping[str, Sequence[object]]] = {
    # path: the values that ask for nothing
    "auth.mode": ("none",),
    "limits": ((),),
    "telemetry.otlp_endpoint": (None,),
}


def built_values(path: KeyPath) -> Sequence[object] | None:
    """The values that a key may have so far; None if every value of the schema does what it says."""
    arounds = (path[:length] for length in range(1, len(path) + 1))
    return next(
        (NOT_BUILT[pattern] for around in arounds for pattern in patterns(around) if pattern in NOT_BUILT), None
    )


def refuse_not_built(root: Node) -> list[Problem]:
    """Every key of the tree that asks for a feature which is not built."""
    return [
        Problem(path, "is not built yet in this version; remove the key")
        for path, node in walk(root)
        for pattern in patterns(path)
        if pattern in NOT_BUILT and number_in(plain(node)) not in NOT_BUILT[pattern]
    ]
