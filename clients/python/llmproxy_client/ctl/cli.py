"""`llmproxyctl`: parses arguments, runs one command, and turns what happened into an exit status."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from typing import BinaryIO

import grpc

from llmproxy_client.channel import Tls, is_local
from llmproxy_client.client import Client, connect
from llmproxy_client.ctl import arguments, chat, health, models
from llmproxy_client.ctl.terminal import Terminal
from llmproxy_client.errors import BrokenStream, error_detail

DONE, FAILED, INTERRUPTED = 0, 1, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs llmproxyctl with the process's arguments, environment and streams; returns its exit status."""
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
    prompt = _prompt(parser, given, stdin) if given.command == "chat" else ""
    _warn_of_plain_key(given, terminal)
    try:
        with _connect(parser, given) as client:
            return _command(given, prompt, client, terminal)
    except grpc.RpcError as error:
        terminal.failure(error_detail(error))
    except BrokenStream as error:
        terminal.note(f"the answer is not whole: {error}")
    return FAILED


def _command(given: argparse.Namespace, prompt: str, client: Client, terminal: Terminal) -> int:
    if given.command == "models":
        models.show(client, terminal, as_json=given.json, timeout=given.timeout)
        return DONE
    if given.command == "health":
        if given.watch:
            health.watch(client, terminal, as_json=given.json, timeout=given.timeout)
        return DONE if health.show(client, terminal, as_json=given.json, timeout=given.timeout) else FAILED
    ask = chat.whole if given.no_stream else chat.as_it_comes
    ask(client, chat.request(prompt, model=given.model), terminal, as_json=given.json, timeout=given.timeout)
    return DONE


def _prompt(parser: argparse.ArgumentParser, given: argparse.Namespace, stdin: BinaryIO) -> str:
    try:
        prompt = stdin.read().decode() if given.prompt is None else _encodable(given.prompt)
    except UnicodeError:
        parser.error("the prompt is not UTF-8 text")
    prompt = prompt.removesuffix("\n")
    if not prompt:
        parser.error("the prompt is empty")
    return prompt


def _encodable(text: str) -> str:
    # Bytes of the command line that are not UTF-8 come as lone surrogates, which no message can carry.
    text.encode()
    return text


def _warn_of_plain_key(given: argparse.Namespace, terminal: Terminal) -> None:
    if given.api_key and not _tls(given) and not is_local(given.target):
        terminal.note(f"the API key travels in the clear to {given.target}; use --tls")


def _connect(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Client:
    if (given.cert or given.key) and not _tls(given):
        parser.error("--cert and --key need --tls or --ca-file")
    try:
        return connect(
            given.target,
            api_key=given.api_key,
            tls=Tls(given.ca_file, given.cert, given.key) if _tls(given) else None,
            retries=given.command != "health",  # health tells how things are, not how they are in 3 s
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))


def _tls(given: argparse.Namespace) -> bool:
    return bool(given.tls or given.ca_file)
