"""Exports to a folder with the synchronous client, going on after every interruption that may pass."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import grpc

from llmproxy_client.dataset.download import Convert, Download, Progress
from llmproxy_client.dataset.manifest import Manifest
from llmproxy_client.errors import BrokenStream, error_detail
from llmproxy_client.v1.export_pb2 import ExportRequest, ExportResponse
from llmproxy_client.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub

Metadata = Sequence[tuple[str, str | bytes]]

MOST_TRIES: Final = 8
"""Calls in a row that bring nothing before an export gives up."""
LONGEST_WAIT: Final = 10.0
_PASSING: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.RESOURCE_EXHAUSTED})
_BRINGING_NOTHING: Final = frozenset({"header", "heartbeat"})
"""The next call, too, would begin where this one began."""


def export(
    stub: LlmProxyServiceStub,
    request: ExportRequest,
    folder: Path | str,
    *,
    restart: bool = False,
    begun_at: float = 0.0,
    convert: Convert | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_wait: Callable[[grpc.RpcError, float], None] | None = None,
    timeout: float | None = None,
    metadata: Metadata = (),
    sleep: Callable[[float], None] = time.sleep,
) -> Manifest:
    """Exports recorded calls to a folder: `train.jsonl` and the like, `manifest.json` and a dataset card.

    What is interrupted goes on where it was: in this call as long as it may pass, and in the next one with the same
    request and folder. Until the end the files are in `FOLDER.partial`.

    Args:
        stub: A stub of the service; `connect(options=EXPORT_OPTIONS)` makes it faster.
        request: Which records, as what.
        folder: Where the dataset shall be; it must not exist, or be empty.
        restart: Begin anew, whatever an earlier export has left.
        begun_at: When the export begins, in Unix seconds; `begun_at(folder)` gives it back to a later call.
        convert: Writes further files beside the dataset's before the folder appears, such as `parquet`.
        on_progress: Told how far it is, after every message.
        on_wait: Told why a call failed, and the seconds until the next one.
        timeout: Seconds for each call; without one the server's own limit holds, and the export goes on behind it.
        metadata: Sent with every call.
        sleep: Waits before another call.

    Returns:
        What `manifest.json` holds.

    Raises:
        FolderInUse: The folder is there already, or another process exports to it.
        DifferentExport: What an earlier export has left is of another request.
        DamagedExport: What came is not what the proxy says that it is.
        BrokenStream: A message is missing.
        ValueError: The request has a resume token, or the folder no name of its own, as `.` has none.
        grpc.RpcError: A call failed in a way that does not pass, or too often.
    """
    with Download(request, Path(folder), restart=restart, begun_at=begun_at) as download:
        tries = Tries(own_limit=timeout is None)
        while not download.complete:
            call = stub.Export(download.request(), timeout=timeout, metadata=tuple(metadata))
            try:
                for message in call:
                    download.take(message)
                    tries.took(message)
                    if on_progress is not None:
                        on_progress(download.progress())
                if not download.complete:
                    raise BrokenStream("the export ended before its summary")
            except grpc.RpcError as error:
                seconds = tries.wait_after(error)
                if on_wait is not None:
                    on_wait(error, seconds)
                sleep(seconds)
            finally:
                call.cancel()
        return download.finish(convert)


class Tries:
    """Whether another call is worth it, and when.

    Args:
        own_limit: Whether the server's own time limit holds: that it ends a call is then no failure.
    """

    def __init__(self, *, own_limit: bool) -> None:
        self._own_limit = own_limit
        self._failed = 0
        self._brought = False

    def took(self, message: ExportResponse) -> None:
        """A message was taken."""
        if message.WhichOneof("payload") not in _BRINGING_NOTHING:
            self._failed, self._brought = 0, True

    def wait_after(self, error: BaseException) -> float:
        """Seconds to wait before the next call; raises the error if there is no point in one."""
        failure = error_detail(error)
        passing = failure.code in _PASSING or (
            failure.code is grpc.StatusCode.DEADLINE_EXCEEDED and self._own_limit and self._brought
        )
        self._brought = False
        self._failed += 1
        if not passing or self._failed >= MOST_TRIES:
            raise error
        return min(LONGEST_WAIT, failure.retry_after or 0.25 * 2**self._failed)
