"""Writes a stream's events in the order of its grammar: start, output, end; numbered without gaps."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Final

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.errors import ProxyError, SlowConsumer
from llmproxy_grpc.messages import CandidateFinish, Delta, StreamEvent, UpstreamEnd, Warning
from llmproxy_grpc.messages.collected import Collected
from llmproxy_grpc.server.rpc import Rpc
from llmproxy_grpc.server.status import code_of, describe, error_detail
from llmproxy_grpc.server.trailers import send_trailers, target_entries
from llmproxy_grpc.server.writing import write_answer, write_delta
from llmproxy_grpc.wire import (
    delta_event,
    end_event,
    finish_event,
    heartbeat_event,
    start_event,
    warning_event,
)

MOST_KEPT: Final = 32 * 1024 * 1024
"""Bytes of a stream that are kept for its record and its final response: 250 for each of 131,072 tokens."""


class StreamWriter:
    """Turns batches of events into the messages of one Stream.

    Args:
        rpc: The call.
        options: How it is streamed.
        write_timeout: Longest wait, in seconds, for a caller that does not read.
        release: Lets the provider go; called when that wait is over.
    """

    def __init__(
        self,
        rpc: Rpc,
        options: chat_pb2.StreamOptions,
        *,
        write_timeout: float,
        release: Callable[[], Coroutine[None, None, None]],
    ) -> None:
        self._rpc = rpc
        self._write_timeout = write_timeout
        self._sequence = 0
        self._started = False
        self._ended = False
        self._loop = asyncio.get_running_loop()
        self._release = release
        self._releasing: asyncio.Task[None] | None = None
        self._writing_since = math.inf
        self._watch = self._loop.call_later(write_timeout, self._look)
        self._target_told = False
        self._collected = Collected() if options.include_final_response else None
        self._tape = rpc.tape() if rpc.tape is not None else None
        self._note = self._tape.note if self._tape is not None else None
        self._say = self._tape.events.append if self._tape is not None and self._tape.words else None
        self._room: float = MOST_KEPT

    async def batch(self, batch: Sequence[StreamEvent]) -> None:
        """Writes a batch; before the first one the start, with the metadata that tells who answers."""
        if not self._started:
            await self._start()
        if self._collected is not None:
            self._collected.take(batch)
        for event in batch:
            if isinstance(event, Delta):
                plain = not (event.logprobs or event.citations)  # nearly always
                written = delta_event(self._sequence, event) if plain else await write_delta(self._sequence, event)
                await self._write(written, tape=self._say)
            elif isinstance(event, CandidateFinish):
                await self._write(finish_event(self._sequence, event), tape=self._note)
            elif isinstance(event, Warning):
                await self._write(warning_event(self._sequence, event), tape=self._note)
            elif isinstance(event, UpstreamEnd):
                await self._end(event)

    async def settle(self) -> None:
        """Ends the watch, and waits for the provider to be let go, if that has begun."""
        self._watch.cancel()
        if self._releasing is not None:
            await self._releasing

    async def heartbeat(self) -> None:
        """Writes that the call lives."""
        await self._write(heartbeat_event(self._sequence))

    async def error(self, error: Exception) -> None:
        """Writes an error in band, as the last event before the status."""
        if not isinstance(error, ProxyError) or isinstance(error, SlowConsumer):
            return  # whoever reads too slowly is told by the status alone
        if self._writing_since != math.inf:
            return  # a message that was given up still waits to be read, and gRPC takes no second one
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
            await self._rpc.context.send_initial_metadata((("x-request-id", call.request_id), *target_entries(call)))
        await self._write(start_event(self._sequence, call, describe=describe), tape=self._note)

    async def _end(self, end: UpstreamEnd) -> None:
        call = self._rpc.call
        final = None
        if self._collected is not None:
            response = self._collected.response(call.upstream_request_id)
            final = await write_answer(response, call)
        send_trailers(self._rpc, with_target=not self._target_told)
        event = end_event(self._sequence, end, call, describe=describe)
        if self._tape is not None:
            self._tape.note(event.SerializeToString())
            await self._tape.complete()
        if final is not None:
            event.end.final_response.CopyFrom(final)
        self._ended = True
        await self._write(event)

    async def _write(self, event: chat_pb2.StreamResponse, *, tape: Callable[[bytes], None] | None = None) -> None:
        """Writes one message; for a caller that does not read for too long the provider is let go.

        The write itself is not given up: gRPC cannot send a status while a message waits. The caller gets it as soon
        as it reads again; if it never does, its deadline or a dead connection ends the call.
        """
        data = event.SerializeToString()
        if tape is not None:
            tape(data)
        self._room -= len(data)
        if self._room < 0:
            self._forget()
        self._writing_since = self._loop.time()
        await self._rpc.context.write(data)
        self._writing_since = math.inf
        self._sequence += 1
        if self._releasing is not None:
            await self._releasing
            if self._ended:
                return  # late, but the caller has got everything
            raise SlowConsumer(f"The caller did not read for {self._write_timeout:.3g} s.")

    def _forget(self) -> None:
        """Lets go of what has been kept of a stream that is too long for it, and keeps no more."""
        self._room, self._say = math.inf, None
        if self._tape is not None:
            self._tape.cut()
        if self._collected is not None:
            self._collected = None
            text = "The answer is too long to be sent once more: the end has no final response."
            self._rpc.call.warnings.append(Warning("PARAMETER_DROPPED", "options.include_final_response", text))

    def _look(self) -> None:
        """Looks whether a write has lasted too long; one timer a stream, for one a message would cost more."""
        limit_at = self._writing_since + self._write_timeout
        if limit_at <= self._loop.time():
            self._releasing = asyncio.create_task(self._release())
            return
        self._watch = self._loop.call_at(min(limit_at, self._loop.time() + self._write_timeout), self._look)
