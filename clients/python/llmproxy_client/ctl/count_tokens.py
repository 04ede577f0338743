"""`llmproxyctl count-tokens`: says how long a prompt is."""

from llmproxy_client.client import Client, count_tokens
from llmproxy_client.ctl.terminal import Terminal
from llmproxy_client.names import short
from llmproxy_client.v1.chat_pb2 import ChatRequest
from llmproxy_client.v1.generation_pb2 import UsageSource

_HEAD = ("TOKENS", "SOURCE")


def show(client: Client, chat: ChatRequest, terminal: Terminal, *, as_json: bool, timeout: float | None) -> None:
    """Prints how many tokens a prompt has, and whether the provider counted or the proxy estimated."""
    response = count_tokens(client.stub, chat, timeout=timeout)
    if as_json:
        terminal.json(response)
        return
    terminal.table([_HEAD, (str(response.input_tokens), short(UsageSource.DESCRIPTOR, response.source))])
    for warning in response.warnings:
        terminal.warning(warning)
