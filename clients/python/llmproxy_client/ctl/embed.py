"""`llmproxyctl embed`: turns texts into vectors."""

from collections.abc import Sequence

from llmproxy_client.client import Client
from llmproxy_client.ctl.terminal import Terminal
from llmproxy_client.v1.embed_pb2 import EmbedPurpose, EmbedRequest

_PREFIX = "EMBED_PURPOSE_"
PURPOSES = {name.removeprefix(_PREFIX).lower(): number for name, number in EmbedPurpose.items() if number}
"""What vectors may be for, as the command line says it."""

_HEAD = ("INPUT", "DIMENSIONS", "VECTOR")
_SHOWN_TEXT = 40
_SHOWN_NUMBERS = 4


def show(client: Client, request: EmbedRequest, terminal: Terminal, *, as_json: bool, timeout: float | None) -> None:
    """Prints the vector of each input: its beginning in a table, or whole as JSON."""
    response = client.stub.Embed(request, timeout=timeout)
    if as_json:
        terminal.json(response)
        return
    texts = [part.text for part in request.inputs]
    vectors = [embedding.values for embedding in response.embeddings]
    terminal.table([_HEAD, *(_row(text, vector) for text, vector in zip(texts, vectors, strict=False))])
    for warning in response.warnings:
        terminal.warning(warning)


def _row(text: str, vector: Sequence[float]) -> tuple[str, ...]:
    line = " ".join(text.split())
    shown = line if len(line) <= _SHOWN_TEXT else f"{line[:_SHOWN_TEXT]}…"
    more = " …" if len(vector) > _SHOWN_NUMBERS else ""
    numbers = " ".join(f"{number:.4f}" for number in vector[:_SHOWN_NUMBERS])
    return shown, str(len(vector)), numbers + more
