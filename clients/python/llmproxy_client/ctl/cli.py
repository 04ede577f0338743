"""`llmproxyctl`: parses arguments, runs one command, and turns what happened into an exit status."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from io import TextIOWrapper
from typing import BinaryIO, Final

import grpc

from llmproxy_client.channel import EXPORT_OPTIONS, Tls, is_local
from llmproxy_client.client import Client, connect
from llmproxy_client.ctl import arguments, chat, count_tokens, embed, export, feedback, health, models, provider
from llmproxy_client.ctl.export_options import check_export, request_of
from llmproxy_client.ctl.terminal import Terminal
from llmproxy_client.dataset import DamagedExport, DifferentExport, FolderInUse
from llmproxy_client.errors import BrokenStream, error_detail
from llmproxy_client.inputs import inputs
from llmproxy_client.v1.embed_pb2 import EMBED_PURPOSE_UNSPECIFIED, EmbedRequest

DONE, FAILED, INTERRUPTED = 0, 1, 130

Command = Callable[[Client, Terminal], bool | None]
"""Runs a command; False if what it found is a failure."""

_STALE_TOKENS: Final = frozenset({"RESUME_TOKEN_EXPIRED", "RESUME_TOKEN_INVALID"})
_NOT_TEXT = "the prompt is not UTF-8 text"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs llmproxyctl with the process's arguments, environment and streams; returns its exit status."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows another
    try:
        status = run(argv, os.environ, Terminal(sys.stdout, sys.stderr), sys.stdin.buffer)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read has read enough, as `head` does. The rest goes nowhere, or Python complains at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return status


def run(argv: Sequence[str] | None, environment: Mapping[str, str], terminal: Terminal, stdin: BinaryIO) -> int:
    """Runs one command. Raises SystemExit(2) for wrong usage."""
    parser = arguments.parser(environment)
    given = parser.parse_args(argv)
    command = _PREPARE[given.command](parser, given, stdin)
    _warn_of_plain_key(given, terminal)
    try:
        with _connect(parser, given) as client:
            return FAILED if command(client, terminal) is False else DONE
    except DifferentExport as error:
        terminal.note(f"{error} with --restart")
        return FAILED
    except FolderInUse as error:
        terminal.note(str(error))
        return FAILED
    except DamagedExport as error:
        terminal.note(str(error))
        terminal.note("what has come cannot be used; begin again with --restart")
        return FAILED
    except KeyboardInterrupt:
        _say_what_is_left(given, terminal, refused=False)
        raise
    except BrokenPipeError:
        raise
    except (grpc.RpcError, BrokenStream, OSError) as error:
        if _told(error, terminal):
            refused = isinstance(error, grpc.RpcError) and error_detail(error).code is grpc.StatusCode.INVALID_ARGUMENT
            _say_what_is_left(given, terminal, refused=refused)
    return FAILED


def _open_closed_streams() -> None:
    """Leads standard streams that are closed to nowhere: what is opened next would have their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))


def _told(error: Exception, terminal: Terminal) -> bool:
    """Says what went wrong; whether an export may go on behind it."""
    if isinstance(error, grpc.RpcError):
        failure = error_detail(error)
        terminal.failure(failure)
        if failure.reason in _STALE_TOKENS:
            terminal.note("the export cannot go on where it was cut off; begin again with --restart")
            return False
        if failure.code is grpc.StatusCode.UNIMPLEMENTED and not failure.reason:
            terminal.note("there is no such API at that address; is it another listener of the proxy?")
    elif isinstance(error, BrokenStream):
        terminal.note(f"the answer is not whole: {error}")
    elif isinstance(error, OSError) and error.strerror:
        terminal.note(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    else:
        terminal.note(str(error))
    return True


def _say_what_is_left(given: argparse.Namespace, terminal: Terminal, *, refused: bool) -> None:
    if given.command == "export" and given.output is not None and not given.plan:
        export.say_what_is_left(given.output, terminal, refused=refused)


def _chat(parser: argparse.ArgumentParser, given: argparse.Namespace, stdin: BinaryIO) -> Command:
    ask = chat.whole if given.no_stream else chat.as_it_comes
    asked = chat.request(
        _prompt(parser, given, stdin),
        model=given.model,
        system=_encodable(parser, given.system),
        max_tokens=given.max_tokens,
        temperature=given.temperature,
    )
    return lambda client, terminal: ask(client, asked, terminal, as_json=given.json, timeout=given.timeout)


def _count_tokens(parser: argparse.ArgumentParser, given: argparse.Namespace, stdin: BinaryIO) -> Command:
    counted = chat.request(_prompt(parser, given, stdin), model=given.model)
    return lambda client, terminal: count_tokens.show(
        client, counted, terminal, as_json=given.json, timeout=given.timeout
    )


def _embed(parser: argparse.ArgumentParser, given: argparse.Namespace, stdin: BinaryIO) -> Command:
    wanted = _inputs(parser, given, stdin)
    return lambda client, terminal: embed.show(client, wanted, terminal, as_json=given.json, timeout=given.timeout)


def _export(_parser: argparse.ArgumentParser, given: argparse.Namespace, _stdin: BinaryIO) -> Command:
    check_export(given.own_parser, given)
    if given.plan:
        request = request_of(given, datetime.now(UTC))
        return lambda client, terminal: export.plan(
            client, request, terminal, as_json=given.json, timeout=given.timeout
        )
    return lambda client, terminal: export.write(
        client,
        lambda now: request_of(given, now),
        given.output,
        terminal,
        restart=given.restart,
        as_parquet=given.parquet,
        as_json=given.json,
        timeout=given.timeout,
    )


def _feedback(_parser: argparse.ArgumentParser, given: argparse.Namespace, _stdin: BinaryIO) -> Command:
    judged = feedback.request_of(given)
    return lambda client, terminal: feedback.give(client, judged, terminal, as_json=given.json, timeout=given.timeout)


def _models(_parser: argparse.ArgumentParser, given: argparse.Namespace, _stdin: BinaryIO) -> Command:
    return lambda client, terminal: models.show(client, terminal, as_json=given.json, timeout=given.timeout)


def _provider(_parser: argparse.ArgumentParser, given: argparse.Namespace, _stdin: BinaryIO) -> Command:
    act = provider.show if given.action == "list" else provider.switch(given.action, given.names, given.note)
    return lambda client, terminal: act(client, terminal, as_json=given.json, timeout=given.timeout)


def _health(_parser: argparse.ArgumentParser, given: argparse.Namespace, _stdin: BinaryIO) -> Command:
    look = health.watch if given.watch else health.show
    return lambda client, terminal: look(client, terminal, as_json=given.json, timeout=given.timeout)


_PREPARE: Final[Mapping[str, Callable[[argparse.ArgumentParser, argparse.Namespace, BinaryIO], Command]]] = {
    "chat": _chat,
    "count-tokens": _count_tokens,
    "embed": _embed,
    "export": _export,
    "feedback": _feedback,
    "models": _models,
    "health": _health,
    "provider": _provider,
}
"""Makes each command, with what it takes from arguments and standard input already read and found right."""


def _prompt(parser: argparse.ArgumentParser, given: argparse.Namespace, stdin: BinaryIO) -> str:
    prompt = (_decoded(parser, stdin) if given.prompt is None else _encodable(parser, given.prompt)).removesuffix("\n")
    if not prompt:
        parser.error("the prompt is empty")
    return prompt


def _inputs(parser: argparse.ArgumentParser, given: argparse.Namespace, stdin: BinaryIO) -> EmbedRequest:
    texts = [_encodable(parser, text) for text in given.texts] or _decoded(parser, stdin).split("\n")
    texts = [text for text in (text.removesuffix("\r") for text in texts) if text]
    if not texts:
        parser.error("there is no text")
    purpose = embed.PURPOSES[given.purpose] if given.purpose else EMBED_PURPOSE_UNSPECIFIED
    return inputs(given.model, texts, purpose=purpose, dimensions=given.dimensions)


def _decoded(parser: argparse.ArgumentParser, stdin: BinaryIO) -> str:
    try:
        return stdin.read().decode()
    except UnicodeError:
        parser.error(_NOT_TEXT)


def _encodable(parser: argparse.ArgumentParser, text: str) -> str:
    # Bytes of the command line that are not UTF-8 come as lone surrogates, which no message can carry.
    try:
        text.encode()
    except UnicodeError:
        parser.error(_NOT_TEXT)
    return text


def _warn_of_plain_key(given: argparse.Namespace, terminal: Terminal) -> None:
    if given.command == "provider":
        return  # which takes no key along
    if given.api_key and not _tls(given) and not is_local(given.target):
        terminal.note(f"the API key travels in the clear to {given.target}; use --tls")


def _connect(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Client:
    if (given.cert or given.key) and not _tls(given):
        parser.error("--cert and --key need --tls or --ca-file")
    if given.command == "provider":
        return _connect_to_operators(parser, given)
    try:
        return connect(
            given.target,
            api_key=given.api_key,
            tls=Tls(given.ca_file, given.cert, given.key) if _tls(given) else None,
            retries=given.command != "health",  # health tells how things are, not how they are in 3 s
            options=EXPORT_OPTIONS if given.command == "export" else (),
        )
    except OSError as error:
        parser.error(f"{error.filename}: cannot be read: {error.strerror}")
    except ValueError as error:
        parser.error(str(error))


def _connect_to_operators(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Client:
    """Connects to the operators' API, which is on the host itself: no key goes there, and there is no TLS."""
    if not given.admin_target:
        parser.error(f"--admin-target or {arguments.ADMIN_TARGET} must name the operators' API (admin.listen)")
    try:
        return connect(given.admin_target, retries=False)
    except ValueError as error:
        parser.error(str(error))


def _tls(given: argparse.Namespace) -> bool:
    return bool(given.tls or given.ca_file)
