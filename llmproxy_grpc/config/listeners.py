"""Where the server listens, and how calls are let in: the sections `grpc`, `http` and `admin`."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from llmproxy_grpc.config.addresses import of_worker, parse_address
from llmproxy_grpc.config.durations import Duration, PositiveDuration
from llmproxy_grpc.config.section import File, Flag, Section, Whole


def _address(text: str) -> str:
    return str(parse_address(text))


def _grpc_address(text: str) -> str:
    of_worker(text, 0)
    return text


def _one_or_several(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Sequence):
        raise ValueError("must be an address in quotes, or a list of them")  # noqa: TRY004 - pydantic names no other
    return value


_ADDRESS_SCHEMA = {"type": "string", "x-type": "address"}

Listen = Annotated[str, AfterValidator(_address), WithJsonSchema(_ADDRESS_SCHEMA)]
Listens = Annotated[
    tuple[Annotated[str, AfterValidator(_grpc_address)], ...],
    BeforeValidator(_one_or_several),
    WithJsonSchema(
        {
            "anyOf": [_ADDRESS_SCHEMA, {"type": "array", "items": _ADDRESS_SCHEMA, "minItems": 1}],
            "x-type": "address, or a list of them",
        }
    ),
    Field(min_length=1),
]


class TlsConfig(Section):
    """Certificates of the gRPC listener, as PEM files; relative paths start at the configuration file's folder."""

    cert: Annotated[File, Field(description="Certificate chain that the server shows.")]
    key: Annotated[File, Field(description="Private key of the certificate.")]
    client_ca: Annotated[
        File | None,
        Field(description="Authorities of the callers' certificates; with it every caller must show one (mTLS)."),
    ] = None


class GrpcConfig(Section):
    """The gRPC listener."""

    listen: Annotated[
        Listens,
        Field(
            description="Address, or a list of them: `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`. Port 0 asks for a free "
            "one; `{worker}` stands for the worker's number."
        ),
    ] = ("127.0.0.1:50051",)
    health_listen: Annotated[
        Listen | None,
        Field(
            description="Plaintext listener for health alone: for probes that cannot do TLS. Null: none. With "
            "several workers `HOST:PORT`, which they share."
        ),
    ] = None
    workers: Annotated[Whole, Field(ge=1, le=256, description="Server processes; more than one on Linux.")] = 1
    reflection: Annotated[Flag, Field(description="Whether callers may ask for the API's description.")] = True
    insecure: Annotated[
        Flag, Field(description="Allows listeners that are open to the network without TLS and authentication.")
    ] = False
    tls: Annotated[TlsConfig | None, Field(description="Certificates; null: plaintext.")] = None
    max_receive_bytes: Annotated[
        Whole, Field(ge=1024, le=2**31 - 1, description="Longest request, in bytes; inline pictures count.")
    ] = 33_554_432
    max_in_flight: Annotated[
        Whole, Field(ge=1, le=1_000_000, description="Most calls at a time, for each of Chat, Stream and Embed.")
    ] = 1024
    max_connection_age: Annotated[
        PositiveDuration | None,
        Field(
            ge=1,
            description="How long a connection is used before its caller is asked to make another, so that all workers "
            "and replicas get their share; calls that run on it finish. Null: for ever.",
        ),
    ] = 300.0
    predrain: Annotated[
        Duration, Field(description="How long a stopping server still takes calls, so that load balancers notice.")
    ] = 5.0
    grace: Annotated[Duration, Field(description="How long a stopping server lets running calls finish.")] = 30.0

    def addresses(self, worker: int = 0) -> tuple[str, ...]:
        """The addresses of one worker."""
        return tuple(of_worker(address, worker) for address in self.listen)


class HttpConfig(Section):
    """The HTTP listener: `/metrics`, `/livez`, `/readyz`."""

    listen: Annotated[Listen | None, Field(description="Address; null: none.")] = "127.0.0.1:8080"


class AdminConfig(Section):
    """The operators' API."""

    listen: Annotated[
        Listen | None,
        Field(
            description="Loopback address or `unix:PATH`; null: none. With several workers `HOST:PORT`, which they "
            "share."
        ),
    ] = None
