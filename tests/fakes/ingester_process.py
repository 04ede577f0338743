"""An ingester without a server; it says `ready` and goes on until it is killed.

python -m tests.fakes.ingester_process FOLDER [STORE]
"""

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
    Ingesting(places, open_store, Tally(), manners).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    time.sleep(3600)


if __name__ == "__main__":
    main(*sys.argv[1:])
