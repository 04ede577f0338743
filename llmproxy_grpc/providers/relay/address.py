"""Where another proxy is, and how a channel to it is set up."""

import ssl
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import grpc

from llmproxy_grpc import __version__
from llmproxy_grpc.config.addresses import is_loopback
from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.credentials import has_credential
from llmproxy_grpc.providers.upstream import MAX_ANSWER_BYTES

OPTIONS: Final = (
    ("grpc.primary_user_agent", f"llmproxy-grpc/{__version__}"),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.max_send_message_length", -1),  # what our callers may send is limited already, and the upstream has limits
    ("grpc.enable_retries", 0),  # the router tries again, and counts how often
    ("grpc.enable_http_proxy", 0),  # a key for this machine must not go to whatever the environment names
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.use_local_subchannel_pool", 1),  # providers with equal addresses share no connection
    # Calls fail while a connection is not tried again: by default from a second up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.keepalive_time_ms", 60_000),  # finds an upstream that vanished without a word during a long answer
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),  # pings that measure the line count as well, and would wait a minute
)


def open_channel(config: ProviderConfig) -> grpc.aio.Channel:
    """Gives a channel to a provider's `base_url`, inside a running event loop; it connects with its first call.

    Raises:
        ValueError: There is no address, it has a path, or a key would travel unencrypted to another machine.
    """
    if config.base_url is None:
        raise ValueError(f"provider {config.name!r} needs a base_url, such as https://llm.example.com:443")
    parts = urlsplit(config.base_url)
    host = parts.hostname or ""
    if parts.path:
        raise ValueError(f"provider {config.name!r} has a base_url with a path, which gRPC has no use for")
    if parts.scheme == "http" and has_credential(config, "authorization") and not is_loopback(host):
        raise ValueError(f"provider {config.name!r} would send its key unencrypted; use https://")
    address = f"[{host}]" if ":" in host else host
    if parts.scheme == "http":
        return grpc.aio.insecure_channel(f"dns:///{address}:{parts.port or 80}", OPTIONS)
    credentials = grpc.ssl_channel_credentials(_roots())
    return grpc.aio.secure_channel(f"dns:///{address}:{parts.port or 443}", credentials, OPTIONS)


def _roots() -> bytes | None:
    """The system's authorities, as for HTTPS; None for those that come with gRPC, where the system has no such file."""
    path = ssl.get_default_verify_paths().cafile
    return Path(path).read_bytes() if path else None
