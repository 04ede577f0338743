"""What the command line of llmproxyctl takes; global options stand before or after the command."""

import argparse
import math
from collections.abc import Mapping

import llmproxy_client
from llmproxy_client.channel import DEFAULT_TARGET
from llmproxy_client.ctl.chat import DEFAULT_MODEL
from llmproxy_client.ctl.embed import PURPOSES
from llmproxy_client.ctl.export_filters import finite
from llmproxy_client.ctl.export_options import add_export_options
from llmproxy_client.ctl.provider import VERBS

TARGET = "LLMPROXY_TARGET"
ADMIN_TARGET = "LLMPROXY_ADMIN_TARGET"
API_KEY = "LLMPROXY_API_KEY"
_LONGEST = 2**31 - 1
_STATUSES = "Exit status: 0 done, 1 the call failed or the proxy does not serve, 2 wrong usage, 130 interrupted."


def parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """The parser, with defaults from the environment."""
    top = argparse.ArgumentParser(
        prog="llmproxyctl", description="Asks llmproxy.", epilog=_STATUSES, parents=[_global_options()]
    )
    top.add_argument("--version", action="version", version=f"llmproxyctl {llmproxy_client.__version__}")
    top.set_defaults(
        target=environment.get(TARGET) or DEFAULT_TARGET,
        admin_target=environment.get(ADMIN_TARGET) or None,
        api_key=environment.get(API_KEY) or None,
        tls=False,
        ca_file=None,
        cert=None,
        key=None,
        timeout=None,
    )
    _add_commands(top)
    return top


def _add_commands(top: argparse.ArgumentParser) -> None:
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    shared = [_global_options()]
    chat = commands.add_parser("chat", help="ask a model", description="Prints the answer as it comes.", parents=shared)
    chat.add_argument("-m", "--model", default=DEFAULT_MODEL, help="model to ask; without it the server's default")
    chat.add_argument("--system", metavar="TEXT", default="", help="instructions before the question")
    chat.add_argument("--max-tokens", metavar="N", type=_length, help="most tokens of the answer")
    chat.add_argument("--temperature", metavar="T", type=finite, help="how much chance there is in the answer")
    chat.add_argument("--no-stream", action="store_true", help="print the answer when it is whole")
    chat.add_argument("--json", action="store_true", help="print JSON: the answer, or a line for each event")
    chat.add_argument("prompt", metavar="PROMPT", nargs="?", help="the question; without it standard input")
    embed = commands.add_parser(
        "embed", help="turn texts into vectors", description="Prints the vector of each text.", parents=shared
    )
    embed.add_argument("-m", "--model", default=DEFAULT_MODEL, help="model to ask; without it the server's default")
    embed.add_argument("--purpose", choices=PURPOSES, help="what the vectors are for")
    embed.add_argument("--dimensions", metavar="N", type=_length, help="length of the vectors")
    embed.add_argument("--json", action="store_true", help="print JSON, with the whole vectors")
    embed.add_argument("texts", metavar="TEXT", nargs="*", help="a text; without any each line of standard input")
    count = commands.add_parser(
        "count-tokens", help="count a prompt's tokens", description="Says how long a prompt is.", parents=shared
    )
    count.add_argument("-m", "--model", default=DEFAULT_MODEL, help="whose tokens; without it the server's default's")
    count.add_argument("--json", action="store_true", help="print JSON")
    count.add_argument("prompt", metavar="PROMPT", nargs="?", help="the prompt; without it standard input")
    export = commands.add_parser(
        "export",
        help="write recorded calls as a dataset",
        usage="llmproxyctl export [OPTION ...] (-o DIR | --plan)",
        description="Writes recorded calls to a folder, with a manifest and a card; goes on where it was cut off.",
        parents=shared,
    )
    export.set_defaults(own_parser=export)  # whose usage is shown when options do not go together
    add_export_options(export)
    _add_feedback(commands.add_parser("feedback", help="judge a recorded call", parents=shared))
    models = commands.add_parser(
        "models", help="list the models", description="Lists the models that you may use.", parents=shared
    )
    models.add_argument("--json", action="store_true", help="print JSON")
    health = commands.add_parser(
        "health", help="show health", description="Shows how the proxy and its providers are.", parents=shared
    )
    health.add_argument("--json", action="store_true", help="print JSON")
    health.add_argument("--watch", action="store_true", help="print it every 2 s until interrupted")
    _add_provider(commands, shared)


def _add_provider(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", shared: list[argparse.ArgumentParser]
) -> None:
    """The commands for operators, which ask another address."""
    provider = commands.add_parser(
        "provider",
        help="show and switch providers (for operators)",
        description="Shows which providers get calls, and switches them, by the operators' API (admin.listen).",
    )
    actions = provider.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the providers", description="Lists the providers.", parents=shared)
    switches = [
        actions.add_parser(verb, help=text, description=f"To {text}.", parents=shared) for verb, text in VERBS.items()
    ]
    for switch in switches:
        switch.add_argument("--note", default="", help="why, for those who look later")
        switch.add_argument("names", metavar="NAME", nargs="+", help="a provider")
    for action in (listing, *switches):
        action.add_argument("--json", action="store_true", help="print JSON")


def _add_feedback(feedback: argparse.ArgumentParser) -> None:
    feedback.description = "Judges a call; the latest judgement of a name, kind and source counts."
    feedback.add_argument("record_id", metavar="RECORD_ID", help="id of the answer, as `chat --json` prints it")
    feedback.add_argument("--name", default="helpful", help="what is judged; `helpful` without it")
    feedback.add_argument("--source", default="user", help="who judges; `user` without it")
    feedback.add_argument("--json", action="store_true", help="print JSON")
    kind = feedback.add_mutually_exclusive_group(required=True)
    kind.add_argument("--up", dest="thumb", action="store_true", default=None, help="it is good")
    kind.add_argument("--down", dest="thumb", action="store_false", default=None, help="it is bad")
    kind.add_argument("--score", metavar="N", type=finite, help="on a scale of your own")
    kind.add_argument("--comment", metavar="TEXT", type=_utf8, help="in words")
    kind.add_argument("--demonstration", metavar="TEXT", type=_utf8, help="the answer that should have been given")


def _global_options() -> argparse.ArgumentParser:
    # Without defaults: those of the command would overwrite what stands before it.
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = options.add_argument_group("connection")
    group.add_argument(
        "--target", metavar="ADDRESS", help=f"HOST:PORT or unix:PATH (or {TARGET}; default {DEFAULT_TARGET})"
    )
    group.add_argument(
        "--admin-target", metavar="ADDRESS", help=f"the same of the operators' API, for `provider` (or {ADMIN_TARGET})"
    )
    group.add_argument("--api-key", metavar="KEY", help=f"API key (better in {API_KEY}: other users see arguments)")
    group.add_argument("--tls", action="store_true", help="use TLS; plaintext without it")
    group.add_argument("--ca-file", metavar="FILE", help="authorities to trust (PEM); implies --tls")
    group.add_argument("--cert", metavar="FILE", help="certificate to present (PEM)")
    group.add_argument("--key", metavar="FILE", help="its key (PEM)")
    group.add_argument(
        "--timeout", metavar="SECONDS", type=_seconds, help="longest time for a call; without it the server's"
    )
    return options


def _length(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= _LONGEST):
        raise argparse.ArgumentTypeError(f"not a whole number above 0 and at most {_LONGEST}: {text!r}")
    return int(text)


def _utf8(text: str) -> str:
    # Bytes of the command line that are not UTF-8 come as lone surrogates, which no message can carry.
    try:
        text.encode()
    except UnicodeError:
        raise argparse.ArgumentTypeError("not UTF-8 text") from None
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"not a number of seconds above 0: {text!r}")
    return seconds
