"""How a channel to the proxy is set up: address, TLS, keepalive, message size and retries."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import grpc

DEFAULT_TARGET = "127.0.0.1:50051"
SERVICE_CONFIG = "service_config.json"
MAX_RECEIVE_BYTES = 32 * 1024 * 1024
KEEPALIVE_MS = 30_000
KEEPALIVE_TIMEOUT_MS = 10_000

RESOLVED: Final = ("unix:", "unix-abstract:", "vsock:", "dns:", "ipv4:", "ipv6:", "xds:")
"""Begins of names that gRPC resolves by rules of their own; so is whatever has `://` in it."""
HOST_AND_PORT: Final = re.compile(r"(\[[^\[\]]+\]|[^:\[\]/]+):[0-9]{1,5}")

_PEM: Final = {
    "certificate": re.compile(rb"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----.+?-----END \1-----", re.DOTALL),
    "private key": re.compile(rb"-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY)-----.+?-----END \1-----", re.DOTALL),
}
"""What the text of a file must have in it, by what it is to hold."""

Option = tuple[str, int | str]

EXPORT_OPTIONS: Final[Sequence[Option]] = (("grpc.http2.lookahead_bytes", 8 * 1024 * 1024), ("grpc.http2.bdp_probe", 0))
"""For a channel that exports: a window wide enough for the whole speed at once, at the cost of 8 MiB of memory."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How the server proves who it is, and how we do.

    Args:
        ca_file: PEM file with the authorities to trust; without it those that come with gRPC.
        cert_file: PEM file with our own certificate chain, for servers that ask for one; needs `key_file`.
        key_file: PEM file with the key of that certificate.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("a client certificate takes both a certificate file and a key file")

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files. Raises OSError where one cannot be read, ValueError where it holds something else."""
        return grpc.ssl_channel_credentials(
            root_certificates=_pem(self.ca_file, "certificate"),
            private_key=_pem(self.key_file, "private key"),
            certificate_chain=_pem(self.cert_file, "certificate"),
        )


def channel_options(*, retries: bool = True, extra: Sequence[Option] = ()) -> list[Option]:
    """The options that we recommend for a channel to the proxy; `extra` wins over them."""
    options: dict[str, int | str] = {
        "grpc.keepalive_time_ms": KEEPALIVE_MS,
        "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
        "grpc.http2.ping_timeout_ms": KEEPALIVE_TIMEOUT_MS,  # the one that really ends it: a minute otherwise
        "grpc.max_receive_message_length": MAX_RECEIVE_BYTES,
        "grpc.enable_retries": int(retries),
    }
    if retries:
        options["grpc.service_config"] = service_config()
    return list({**options, **dict(extra)}.items())


def service_config() -> str:
    """The retry policy that we recommend, as gRPC's service config (JSON); it repeats UNAVAILABLE alone."""
    return resources.files(__package__).joinpath(SERVICE_CONFIG).read_text(encoding="utf-8")


def check_target(target: str) -> str:
    """Returns the target. Raises ValueError for what gRPC would misread, such as a URL or a host without a port."""
    if not target.strip():
        raise ValueError("the target is empty")
    if target.startswith(("http://", "https://")):
        raise ValueError(f"{target!r} is a URL; a target is HOST:PORT or unix:PATH")
    if not target.startswith(RESOLVED) and "://" not in target and not HOST_AND_PORT.fullmatch(target):
        # gRPC would take port 443, and its failure would not say so.
        raise ValueError(f"{target!r} has no port; a target is HOST:PORT or unix:PATH")
    return target


def is_local(target: str) -> bool:
    """Whether the target is on this host, as far as its text tells."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    address = target.rsplit("/", 1)[-1]
    host = address.partition("]")[0].removeprefix("[") if address.startswith("[") else address.rsplit(":", 1)[0]
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _pem(path: str | None, what: str) -> bytes | None:
    """The bytes of a file; of one that is empty gRPC would abort the process, of others not say what is wrong."""
    if path is None:
        return None
    data = Path(path).read_bytes()
    if not _PEM[what].search(data):
        raise ValueError(f"{path} holds no {what} as PEM")
    return data
