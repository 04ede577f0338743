"""Calls llmproxy-grpc: typed stubs in `llmproxy_client.v1`, and a thin helper for what stubs leave to their user.

The helper works on any stub, also one that you made yourself. Its asynchronous twin is `llmproxy_client.aio`.
"""

from llmproxy_client.answer import Answer
from llmproxy_client.channel import DEFAULT_TARGET, EXPORT_OPTIONS, Tls
from llmproxy_client.client import Client, collect, connect, count_tokens, embed, stream, text
from llmproxy_client.dataset import DamagedExport, DifferentExport, FolderInUse, Progress, export
from llmproxy_client.errors import BrokenStream, Failure, StreamFailed, Violation, error_detail

__version__ = "0.1.0"

__all__ = [
    "connect",
    "stream",
    "collect",
    "text",
    "embed",
    "count_tokens",
    "export",
    "error_detail",
    "Client",
    "Tls",
    "Answer",
    "Failure",
    "Violation",
    "BrokenStream",
    "StreamFailed",
    "Progress",
    "DamagedExport",
    "DifferentExport",
    "FolderInUse",
    "DEFAULT_TARGET",
    "EXPORT_OPTIONS",
]
