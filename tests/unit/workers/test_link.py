import asyncio
import socket

from llmproxy_grpc.workers.link import MOST_UNSENT, Link
from llmproxy_grpc.workers.protocol import Beat, Shared


async def pair() -> tuple[Link, socket.socket]:
    """A link, and the bare socket at its other end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return await Link.open(ours), theirs


async def both() -> tuple[Link, Link]:
    one, end = await pair()
    end.setblocking(False)
    return one, await Link.open(end)


async def test_messages_come_whole_and_in_order():
    one, other = await both()
    sent = [Shared(str(number), bytes(number), 1.5) for number in range(300)]
    for message in sent:
        assert one.send(message)
    assert [await other.receive() for _ in sent] == sent
    await one.aclose()
    assert await other.receive() is None
    await other.aclose()


async def test_a_message_that_was_half_sent_when_its_sender_died_is_never_received():
    link, peer = await pair()
    with peer:
        other, end = await pair()
        other.send(Beat(ready=True))
        await asyncio.sleep(0)
        with end:
            message = end.recv(4096)
        await other.aclose()
        peer.sendall(message + message[:-1])
    assert await link.receive() == Beat(ready=True)
    assert await link.receive() is None
    await link.aclose()


async def test_what_a_dead_peer_had_sent_is_still_received():
    one, other = await both()
    one.send(Beat(ready=False))
    await one.aclose()
    assert await other.receive() == Beat(ready=False)
    assert await other.receive() is None
    assert other.send(Beat(ready=True))
    await other.aclose()


async def test_for_a_peer_that_does_not_read_only_so_much_is_kept():
    link, peer = await pair()
    with peer:
        taken = 0
        while link.send(Shared("k", bytes(2**20), 1.0)):
            taken += 1
        assert 1 <= taken <= MOST_UNSENT // 2**20 + 2
    await link.aclose()
