"""An ingester without a server; it says `ready` and what it counts, and goes on until it is killed.

python -m tests.fakes.ingester_process FOLDER [STORE]
"""

import os
import sys
import time
from pathlib import Path

from llmproxy_grpc.records.ingesting import Ingesting, Manners
from llmproxy_grpc.records.lines import openai_chat_line
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.stores import SQLITE, opener
from llmproxy_grpc.records.tally import Tally


def main(folder: str, store: str = SQLITE) -> None:
    places = Places(Path(folder))
    open_store = opener(store, places)
    manners = Manners(retention=1e10, render=openai_chat_line, poll=0.01, ballast=4096)
    os.write(1, b"ready\n")
    tally = Tally()
    tally.watch(lambda state, _reason, count: os.write(1, f"{state} {count}\n".encode()))
    Ingesting(places, open_store, tally, manners).start()
    time.sleep(3600)


if __name__ == "__main__":
    main(*sys.argv[1:])
