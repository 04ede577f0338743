"""`python -m llmproxy_grpc.worker SOCKET MEMORY` is one of several workers; only a supervisor starts it."""

import asyncio
import os
import signal
import socket
import sys
from functools import partial

from llmproxy_grpc.app import App
from llmproxy_grpc.config.faults import ConfigError
from llmproxy_grpc.loops import run
from llmproxy_grpc.records.store import StoreError
from llmproxy_grpc.telemetry.cells import Cells
from llmproxy_grpc.telemetry.logs import configure
from llmproxy_grpc.workers.link import Link
from llmproxy_grpc.workers.member import Member
from llmproxy_grpc.workers.protocol import Begin, Failed


def main() -> None:
    """Serves over the socket pair's end that it inherited, until the supervisor says that it is enough."""
    # The supervisor decides; Ctrl-C and a hang-up are for it to hear.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    end = socket.socket(fileno=int(sys.argv[1]))
    end.setblocking(False)  # noqa: FBT003 - the standard library's
    run(partial(_serve, end, Cells(int(sys.argv[2]))))


async def _serve(end: socket.socket, cells: Cells) -> None:
    link = await Link.open(end)
    begin = await link.receive()
    if isinstance(begin, Begin):
        await _work(link, begin, cells)
    await link.aclose()


async def _work(link: Link, begin: Begin, cells: Cells) -> None:

    member = Member(link, begin, cells)
    loaded = member.load()
    telemetry = loaded.config.telemetry
    configure(telemetry.log_format, telemetry.log_level, worker=begin.number)
    app = App(loaded, member.load, environ=os.environ, output=sys.stderr, member=member)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, member.terminate, app)
    following = asyncio.create_task(member.follow(app))
    try:
        await app.run()
    except ConfigError as error:
        link.send(Failed(error.faults, ""))
    except (OSError, StoreError) as error:
        link.send(Failed((), str(error)))
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


if __name__ == "__main__":
    main()
