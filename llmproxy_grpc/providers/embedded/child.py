"""The program of the child process: serves one model over HTTP on a UNIX socket until its standard input closes.

It is started by path and knows nothing of the rest of the package, so that it loads fast and cannot see the server's
configuration. It says `ready` on standard output once it serves.
"""

import argparse
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

import xllamacpp

# One thread serves one connection, idle ones too, and probes must get through while every slot is busy.
HTTP_THREADS = 64


def main() -> None:
    """Serves until standard input closes."""
    arguments = _parser().parse_args()
    # A signal to the whole process group is for the server, which ends us when the calls in flight are done.
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    announcements = _keep_standard_output()
    threading.Thread(target=_end_with_parent, args=(arguments.socket,), daemon=True).start()
    _server = xllamacpp.Server(_parameters(arguments))  # serves as long as it is held; returns once the model is loaded
    os.write(announcements, b"ready\n")
    threading.Event().wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--alias", required=True)
    parser.add_argument("--context-size", type=int, required=True)
    parser.add_argument("--parallel", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("socket", type=Path)
    return parser


def _keep_standard_output() -> int:
    """Gives a descriptor of standard output, and sends whatever the library prints there to standard error."""
    announcements = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return announcements


def _end_with_parent(socket: Path) -> None:
    """Ends the process when standard input closes: the parent closes it, or the system when the parent is gone."""
    while os.read(sys.stdin.fileno(), 512):
        pass
    # The parent may have been killed: leave nothing behind.
    with suppress(OSError):
        socket.unlink()
    with suppress(OSError):
        socket.parent.rmdir()
    os._exit(0)


def _parameters(arguments: argparse.Namespace) -> xllamacpp.CommonParams:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = arguments.model
    parameters.model_alias = [arguments.alias]
    parameters.hostnames = [str(arguments.socket)]
    parameters.port = 0
    parameters.n_parallel = arguments.parallel
    parameters.n_ctx = arguments.context_size * arguments.parallel  # the library divides it among the slots
    parameters.cpuparams.n_threads = arguments.threads
    parameters.n_threads_http = HTTP_THREADS
    parameters.embedding = True
    parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    parameters.cache_ram_mib = 0  # by default it keeps up to 8 GiB of old prompts
    parameters.ui = False
    parameters.warmup = False  # the first call is waiting already
    parameters.verbosity = -1
    return parameters


if __name__ == "__main__":
    main()
