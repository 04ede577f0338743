"""Writes a stream's events in the order of its grammar: start, output, end; numbered without gaps."""

import asyncio
from collections.abc import Sequence

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.errors import ProxyError, SlowConsumer
from llmproxy_grpc.messages import CandidateFinish, Delta, StreamEvent, UpstreamEnd
from llmproxy_grpc.server.collect import Collected
from llmproxy_grpc.server.rpc import Rpc
from llmproxy_grpc.server.status import code_of, describe, error_detail
from llmproxy_grpc.server.trailers import header_value, send_trailers
from llmproxy_grpc.server.wire import (
    delta_event,
    end_event,
    finish_event,
    from_response,
    heartbeat_event,
    start_event,
)


class StreamWriter:
    """Turns batches of events into the messages of one Stream."""

    def __init__(self, rpc: Rpc, options: chat_pb2.StreamOptions, write_timeout: float) -> None:
        self._rpc = rpc
        self._write_timeout = write_timeout
        self._sequence = 0
        self._started = False
        self._target_told = False
        self._collected = Collected() if options.include_final_response else None

    async def batch(self, batch: Sequence[StreamEvent]) -> None:
        """Writes a batch; before the first one the start, with the metadata that tells who answers."""
        if not self._started:
            await self._start()
        if self._collected is not None:
            self._collected.take(batch)
        for event in batch:
            if isinstance(event, Delta):
                await self._write(delta_event(self._sequence, event))
            elif isinstance(event, CandidateFinish):
                await self._write(finish_event(self._sequence, event))
            elif isinstance(event, UpstreamEnd):
                await self._end(event)

    async def heartbeat(self) -> None:
        """Writes that the call lives."""
        await self._write(heartbeat_event(self._sequence))

    async def error(self, error: Exception) -> None:
        """Writes an error in band, as the last event before the status."""
        if not isinstance(error, ProxyError) or isinstance(error, SlowConsumer):
            return  # after a write that timed out nothing may be written again
        event = chat_pb2.StreamResponse(sequence=self._sequence)
        event.error.grpc_code = code_of(error).value[0]
        event.error.message = error.message
        event.error.detail.CopyFrom(error_detail(error, self._rpc.call))
        await self._write(event)

    async def _start(self) -> None:
        call = self._rpc.call
        self._started = True
        if self._sequence == 0:
            self._target_told = True
            await self._rpc.context.send_initial_metadata(
                (
                    ("x-request-id", call.request_id),
                    ("llmproxy-provider", call.provider),
                    ("llmproxy-model", header_value(call.upstream_model)),
                )
            )
        await self._write(start_event(self._sequence, call, describe=describe, warnings=call.warnings))

    async def _end(self, end: UpstreamEnd) -> None:
        call = self._rpc.call
        final = None
        if self._collected is not None:
            response = self._collected.response(call.upstream_request_id)
            final = from_response(response, call, describe=describe, kind=call.provider_kind, warnings=call.warnings)
        send_trailers(self._rpc, with_target=not self._target_told)
        await self._write(
            end_event(
                self._sequence,
                call,
                describe=describe,
                warnings=call.warnings,
                metadata=(call.provider_kind, end.provider_metadata),
                final_response=final,
            )
        )

    async def _write(self, event: chat_pb2.StreamResponse) -> None:
        """Writes one message; a caller that does not read for too long is let go, and the provider with it."""
        try:
            async with asyncio.timeout(self._write_timeout):
                await self._rpc.context.write(event.SerializeToString())
        except TimeoutError:
            raise SlowConsumer(f"The caller did not read for {self._write_timeout:.3g} s.") from None
        self._sequence += 1
