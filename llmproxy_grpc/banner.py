"""What a server that has started prints on standard output: where it listens, what it offers, and `ready`."""

from collections.abc import Iterator, Sequence
from typing import Final, TextIO

from msgspec import Struct

from llmproxy_grpc.config.addresses import UNIX

MOST_SHOWN: Final = 20
ECHO_NOTE: Final = (
    "note echo only repeats; a real model takes a provider, or the extra `local` and then llmproxy pull-model"
)
ECHO_IS_DEFAULT: Final = "note calls that name no model may be answered by echo, which only repeats: set default_model"
NO_MODEL: Final = "no model yet: configure a provider, or set a key such as OPENAI_API_KEY and start again"


class Offer(Struct, frozen=True, kw_only=True):
    """What a server has to tell.

    Attributes:
        grpc: The gRPC addresses with the ports really bound.
        health: The address for health alone, if there is one.
        http: The HTTP address, if there is one.
        admin: The address for operators, if there is one.
        secure: Whether the TCP addresses speak TLS.
        mutual: Whether callers must show a certificate there.
        models: The ids of the models.
        to_try: The model for a first call; empty if it may be left open.
        echoes: Whether `echo` may answer that call, since there is nothing else.
        default_echoes: Whether `echo` may answer a call that names no model.
        records: What is kept of calls, and where.
    """

    grpc: Sequence[str]
    health: str | None = None
    http: str | None = None
    admin: str | None = None
    secure: bool = False
    mutual: bool = False
    models: Sequence[str] = ()
    to_try: str = ""
    echoes: bool = False
    default_echoes: bool = False
    records: str = "off"


def announce(output: TextIO, offer: Offer) -> None:
    """Writes the lines."""
    output.write(banner(offer))
    output.flush()


def banner(offer: Offer) -> str:
    """The lines, `ready` last, since scripts wait for it."""
    return "\n".join([*_lines(offer), "ready", ""])


def _lines(offer: Offer) -> Iterator[str]:
    for address in offer.grpc:
        yield f"grpc {address}"
    if offer.health is not None:
        yield f"health {offer.health}"
    if offer.http is not None:
        yield f"http {offer.http}"
    if offer.admin is not None:
        yield f"admin {offer.admin}"
    yield f"records {offer.records}"
    for model in offer.models[:MOST_SHOWN]:
        yield f"model {model}"
    if len(offer.models) > MOST_SHOWN:
        yield f"and {len(offer.models) - MOST_SHOWN} more models: llmproxyctl models"
    if offer.echoes:
        yield ECHO_NOTE
    elif offer.default_echoes:
        yield ECHO_IS_DEFAULT
    if not offer.models:
        yield NO_MODEL
    yield from _tips(offer)


def _tips(offer: Offer) -> Iterator[str]:
    """Commands to try, as they are to be typed; names in capitals are the reader's own files."""
    address = offer.grpc[0]
    secure = offer.secure and not address.startswith(UNIX)
    if offer.models:
        trust = " --ca-file CA.pem" + (" --cert CERT.pem --key KEY.pem" if offer.mutual else "") if secure else ""
        model = f" -m {offer.to_try}" if offer.to_try else ""
        yield f"try llmproxyctl --target {address}{trust} chat{model} 'Tell me a joke.'"
    trust = "-cacert CA.pem" + (" -cert CERT.pem -key KEY.pem" if offer.mutual else "") if secure else "-plaintext"
    target = f"-unix {address.removeprefix(UNIX)}" if address.startswith(UNIX) else address
    yield f"try grpcurl {trust} {target} llmproxy.v1.LlmProxyService/ListModels"
