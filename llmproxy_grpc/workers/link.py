"""One end of the private socket between a supervisor and a worker: whole messages, in order."""

import asyncio
import socket
from typing import Final, Self

from llmproxy_grpc.workers.protocol import DECODER, ENCODER, Message

HEAD: Final = 4
"""Bytes of a message's length."""
MOST_UNSENT: Final = 16 * 2**20
"""Bytes that may wait for a peer that does not read."""


class Link:
    """Sends and receives messages. A message that was only half sent when the peer died is never received."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Self:
        """Takes over one end of a pair of connected stream sockets."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    def send(self, message: Message) -> bool:
        """Sends without waiting, or drops the message; false of a peer that is there but has long read nothing."""
        if self._writer.is_closing():
            return True
        if self._writer.transport.get_write_buffer_size() > MOST_UNSENT:
            return False
        body = ENCODER.encode(message)
        self._writer.write(len(body).to_bytes(HEAD, "big") + body)
        return True

    async def receive(self) -> Message | None:
        """The next message; None when the peer is gone."""
        try:
            length = int.from_bytes(await self._reader.readexactly(HEAD), "big")
            message: Message = DECODER.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return message

    async def aclose(self) -> None:
        """Lets go of the socket once everything is sent that the peer still takes."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return
