"""A worker without a server: spools calls as fast as it is told, and prints of each one that is written id and hash.

python -m tests.fakes.spool_process FOLDER NUMBER PAUSE
"""

import itertools
import os
import sys
import time
from pathlib import Path

from llmproxy_grpc.records.codec import bare
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.spool.writer import Offer, SpoolWriter
from llmproxy_grpc.records.tally import Tally
from tests.fakes.spooled import a_begin, an_end, hash_of

BURST = 5


def acknowledge(waiters, written):
    if written:
        os.write(1, "".join(f"{waiter}\n" for waiter in waiters).encode())


def main(folder: str, number: str, pause: str) -> None:
    spool = Places(Path(folder)).spool
    writer = SpoolWriter(
        spool, int(number), Tally(), durable=False, bare=bare, tell=acknowledge, segment_bytes=64 * 1024
    )
    writer.start()
    for count in itertools.count():
        ends = [an_end(text=f"{number} {count} " + "x" * (count % 700)) for _ in range(BURST)]
        for end in ends:
            writer.put([Offer(a_begin(end.id)), Offer(end, f"{end.id} {hash_of(end.request, end.response)}")])
        time.sleep(float(pause))


if __name__ == "__main__":
    main(*sys.argv[1:])
