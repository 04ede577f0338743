"""The grpc.aio server: its options, ports, TLS and drain."""

import asyncio
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import grpc

from llmproxy_grpc.config.addresses import UNIX
from llmproxy_grpc.config.schema import GrpcConfig, TlsConfig
from llmproxy_grpc.server.leaving import leave
from llmproxy_grpc.server.reflection import enable_reflection
from llmproxy_grpc.server.spreading import spread
from llmproxy_grpc.sockets import SocketPath, cannot_listen

LONGEST_QUESTION: Final = 4096
"""Bytes of a request on the listeners beside the main one: that for health is open to everybody."""

KEEPALIVE_MS: Final = 30_000
KEEPALIVE_TIMEOUT_MS: Final = 10_000
"""A caller that has vanished without a word is found within both together, and its providers are let go."""

NOTICE: Final = 3.0
"""Seconds before the end of the grace at which what still runs is ended with a rich error rather than a bare one."""
FOR_EVER: Final = 2**31 - 1
"""Milliseconds, to gRPC."""
MOST_PENDING: Final = 8192
"""Calls of a burst that wait for the event loop, some kilobytes each: eight times as many as gRPC would keep."""
LAST_WORDS: Final = 0.5
"""Seconds that a rich error has to leave, however short the grace is, or the wish of a second signal."""

_PEM: Final = {
    "certificate": re.compile(rb"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----.+?-----END \1-----", re.DOTALL),
    "private key": re.compile(rb"-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY)-----.+?-----END \1-----", re.DOTALL),
}
"""What the text of a file must have in it, by what it is to hold."""


def options(config: GrpcConfig, *, short: bool = False, shared: bool = False) -> list[tuple[str, int]]:
    """Channel arguments; the reasons stand beside each."""
    longest = LONGEST_QUESTION if short else config.max_receive_bytes
    age = config.max_connection_age
    return [
        ("grpc.max_receive_message_length", longest),
        ("grpc.max_send_message_length", -1),  # our own limits hold; a client's default refuses more than 4 MiB
        ("grpc.http2.min_ping_interval_without_data_ms", 5000),  # the default kills a client that pings each 10 s
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),  # the one that really ends it: a minute otherwise
        # Beyond it clients queue in silence, so even one connection may hold all that admission lets in, and probes.
        # Of calls that wait for the event loop gRPC cancels what is more, and no client repeats those: we refuse them.
        ("grpc.server.max_pending_requests", MOST_PENDING),
        ("grpc.server.max_pending_requests_hard_limit", 2 * MOST_PENDING),
        ("grpc.max_concurrent_streams", max(4096, 3 * config.max_in_flight + 1024)),
        ("grpc.max_connection_age_ms", FOR_EVER if age is None else round(age * 1000)),
        ("grpc.so_reuseport", int(shared)),  # with one process a second server on the port must fail, not share it
    ]


class GrpcServer:
    """A grpc.aio server on any number of addresses.

    Args:
        config: Options, TLS and whether reflection is served.
        handlers: The services.
        key: Of the configuration, where its addresses stand.
        described: The services that reflection describes, if the configuration has it on.
        plaintext: Never use TLS, and take short requests alone: for the listeners beside the main one.
        sharing: How many processes share the TCP ports, and are each other's successors on unix sockets; 0 if nobody
            may share them.
    """

    def __init__(
        self,
        config: GrpcConfig,
        handlers: Sequence[grpc.GenericRpcHandler],
        *,
        key: str = "grpc.listen",
        described: Sequence[str] = (),
        plaintext: bool = False,
        sharing: int = 0,
    ) -> None:
        self._config = config
        self._key = key
        self._plaintext = plaintext
        self._sharing = sharing
        self._server = grpc.aio.server(options=options(config, short=plaintext, shared=sharing > 0))
        self._server.add_generic_rpc_handlers(tuple(handlers))
        self._ports: list[int] = []
        self._sockets: list[SocketPath] = []
        if config.reflection and described:
            enable_reflection(self._server, *described)

    async def start(self, listen: Sequence[str]) -> list[str]:
        """Binds and serves; returns the addresses with the ports really bound.

        Raises:
            OSError: An address cannot be bound, or a TLS file cannot be read.
        """
        bound = [self._bind(address) for address in listen]
        await self._server.start()
        return bound

    async def leave(self, within: float) -> None:
        """Takes no more connections, and serves those that there are until none is left, `within` seconds at most."""
        await leave(self._ports, self._sockets, within)

    async def stop(self, grace: float, *, evict: Callable[[], int]) -> None:
        """Takes nothing new, lets what runs end within `grace` seconds, and ends the rest with a rich error."""
        if grace < LAST_WORDS:
            evict()  # first: gRPC would cut what runs before our error is out
            grace = LAST_WORDS
        stopping = asyncio.create_task(self._server.stop(grace))
        patience = max(grace - NOTICE, grace * 0.7)
        await asyncio.wait({stopping}, timeout=patience)
        if not stopping.done():
            evict()
        await stopping
        await self.aclose()

    async def aclose(self) -> None:
        """Ends at once what still runs: behind `stop` nothing, behind a start that failed the listeners it opened."""
        await self._server.stop(None)
        for path in self._sockets:
            path.release()

    def _bind(self, address: str) -> str:
        shared = self._sharing > 0
        path: SocketPath | None = None
        if address.startswith(UNIX):
            path = SocketPath(Path(address.removeprefix(UNIX)), key=self._key, succeeds=shared)
        at = address if path is None else f"{UNIX}{path.at}"
        secure = self._config.tls is not None and not self._plaintext and path is None
        try:
            if secure and self._config.tls is not None:
                port = self._server.add_secure_port(at, credentials(self._config.tls))
            else:
                port = self._server.add_insecure_port(at)
        except RuntimeError:
            why = "is it in use, or not allowed" + (", or are certificate and key no pair?" if secure else "?")
            raise cannot_listen(self._key, address, why) from None
        if port == 0:
            raise cannot_listen(self._key, address)
        if path is not None:
            path.bound()
            self._sockets.append(path)
            return address
        self._ports.append(port)
        if shared:
            spread(port, self._sharing)
        return f"{address.rpartition(':')[0]}:{port}"


def credentials(tls: TlsConfig) -> grpc.ServerCredentials:
    """TLS from the files as they are now; with `client_ca` callers must present a certificate.

    Files that are replaced later are read again at the next handshake; if they cannot be, or are not whole yet, the old
    ones hold.
    """
    files = CertificateFiles(tls)
    return grpc.dynamic_ssl_server_credentials(
        files.read(),
        files.renewed,  # type: ignore[arg-type]  # None is "as before"
        require_client_authentication=tls.client_ca is not None,
    )


class CertificateFiles:
    """The certificates as their files hold them, and whether these have changed since they were read.

    Args:
        tls: Where the files are.

    Raises:
        OSError: A file cannot be found.
    """

    def __init__(self, tls: TlsConfig) -> None:
        self._tls = tls
        self._files = [tls.cert, tls.key, *([tls.client_ca] if tls.client_ca else [])]
        self._version = self._look()

    def read(self) -> grpc.ServerCertificateConfiguration:
        """The certificates of the files as they are now.

        Raises:
            OSError: A file cannot be read, or does not hold what it should.
        """
        roots = _pem("client_ca", self._tls.client_ca, "certificate") if self._tls.client_ca else None
        pair = (_pem("key", self._tls.key, "private key"), _pem("cert", self._tls.cert, "certificate"))
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """The certificates if a file has changed, else None; also None if one cannot be read or is not whole now."""
        try:
            version = self._look()
            if version == self._version:
                return None
            renewed = self.read()
        except OSError:
            return None
        self._version = version
        return renewed

    def _look(self) -> tuple[int, ...]:
        return tuple(file.stat().st_mtime_ns for file in self._files)


def _pem(key: str, file: Path, what: str) -> bytes:
    """The bytes of a file; gRPC itself would take no authorities for a file without any, and refuse every caller."""
    data = file.read_bytes()
    if not _PEM[what].search(data):
        raise OSError(f"grpc.tls.{key}: {file} holds no {what} as PEM")
    return data
