"""The embedded model as a provider: started on first need, asked over a UNIX socket in the Chat Completions wire."""

import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from secrets import token_hex
from typing import Self, TypeVar

from msgspec.structs import replace

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import ModelNotFound, UpstreamProtocolError, UpstreamUnreachable
from llmproxy_grpc.messages import ChatRequest, EmbedRequest, EmbedResponse, ProviderResponse, StreamEvent
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.chat_completions.features import features_of
from llmproxy_grpc.providers.chat_completions.quirks import Quirks, ReasoningStyle
from llmproxy_grpc.providers.chat_completions.wire import ChatCompletions, Dialect
from llmproxy_grpc.providers.embedded.model import MODEL, RUNTIME, find_model, has_module
from llmproxy_grpc.providers.embedded.process import ModelProcess
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel
from llmproxy_grpc.providers.upstream import Upstream

_Answer = TypeVar("_Answer")

_CHILD = Path(__file__).with_name("embedded") / "child.py"
# The server promises to keep connections open, then closes them behind each stream; and an idle one costs it a thread.
_HEADERS = {"connection": "close"}
_ADDRESS = "http://localhost/v1"
_DIALECT = Dialect(
    names=("local",),
    probe_path="/health",
    quirks=Quirks(
        max_tokens_field="max_tokens",
        max_stop_sequences=64,
        user_field="",
        counts_candidates=False,  # its usage is that of one of them
        developer_role=False,
        message_name=False,
        tools=False,
        tool_choice=False,
        parallel_tool_calls=False,
        top_k=True,
        reasoning=ReasoningStyle.UNSUPPORTED,
        shows_reasoning=False,
        dimensions_field="",  # it would send the whole vectors
        max_embed_inputs=1,  # of several in one request the runtime mixes up the vectors, measured
        count_path="/chat/completions/input_tokens",
    ),
)
FEATURES = replace(features_of(_DIALECT.quirks, _DIALECT.names), media={}, opaque=frozenset())
_CONNECT_TIMEOUT = 3.0
_MOST_THREADS = 4  # more of them slow so small a model down
# So small a model may repeat itself until its context is full, which takes longer than callers wait.
_MOST_OUTPUT = 1024
_LONGEST_FOLDER = 90  # a socket's path has about a hundred bytes
# A dying process takes connections, or refuses them, a moment before its end is known here.
_DEATH_NOTICE = 1.0
_SIGNS_OF_DEATH = (UpstreamUnreachable, UpstreamProtocolError)


def available(model_file: Path | None = None) -> bool:
    """Says whether the embedded model can run here: its runtime is installed, and its weights are there."""
    path = model_file or find_model()
    return has_module(RUNTIME) and path is not None and path.is_file()


class LocalProvider:
    """A small model that runs in a child process of this server; it takes text and calls no tools.

    Args:
        name: The configured name.
        model: The one model.
        process: The process that runs it; closed by this provider.
        wire: Speaks to the process.
        http: The connections of `wire`; closed by this provider.
        most_output: Where answers end whose `max_output_tokens` is unset, in tokens; None for the end of the context.
    """

    kind = "local"

    def __init__(
        self,
        name: str,
        *,
        model: UpstreamModel,
        process: ModelProcess,
        wire: ChatCompletions,
        http: HttpClient,
        most_output: int | None = None,
    ) -> None:
        self.name = name
        self._model = model
        self._process = process
        self._wire = wire
        self._http = http
        self._most_output = most_output

    @classmethod
    def from_config(cls, config: ProviderConfig, http: HttpClient) -> Self:  # noqa: ARG003 - the model has its own socket
        """Builds the provider, inside a running event loop; nothing is started yet.

        The model is called `smollm2-135m`, or by the configured file's name without its suffix.

        Raises:
            ValueError: The runtime or the weights are not installed.
        """
        path = config.model_file or find_model()
        if path is None or not available(path):
            raise ValueError(
                f"the embedded model cannot run here: it needs {RUNTIME} (the extra `local` of llmproxy-grpc) and its"
                " weights (`llmproxy pull-model`, or an existing model_file)"
            )
        model = UpstreamModel(config.model_file.stem.lower() if config.model_file else MODEL, config.context_size)
        process = ModelProcess(_command(config, path, model.name), folder=_folder())
        own_http = HttpClient(connect_timeout=_CONNECT_TIMEOUT, unix_path=str(process.socket_path))
        wire = ChatCompletions(Upstream(own_http, _ADDRESS, headers=(_HEADERS,)), _DIALECT)
        most_output = None if config.model_file else _MOST_OUTPUT
        return cls(config.name, model=model, process=process, wire=wire, http=own_http, most_output=most_output)

    def features(self, upstream_model: str) -> Features:  # noqa: ARG002 - there is one model
        """What so small a model can do: it reads text alone."""
        return FEATURES

    def adapt(self, request: ChatRequest, upstream_model: str) -> Adapted:
        """Leaves out the set fields that so small a model cannot honour."""
        return adapt(request, self.features(upstream_model))

    async def chat(self, request: ChatRequest, upstream_model: str) -> ProviderResponse:
        """Answers in one piece, starting the process if need be; asks again, once, if it died meanwhile.

        Raises:
            ModelNotFound: It is another model that is asked for.
            UpstreamUnreachable: The process does not start.
        """
        bounded = self._bounded(request)
        return await self._ask(upstream_model, lambda: self._wire.chat(bounded, upstream_model))

    async def stream(self, request: ChatRequest, upstream_model: str) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Answers in pieces, starting the process if need be; asks again, once, if it died before its answer.

        Raises:
            ModelNotFound: It is another model that is asked for.
            UpstreamUnreachable: The process does not start.
        """
        self._check(upstream_model)
        bounded = self._bounded(request)
        final = False  # nothing can be taken back once something was given, and a prompt may be what kills
        while True:
            await self._process.ready()
            try:
                async with aclosing(self._wire.stream(bounded, upstream_model)) as batches:
                    async for batch in batches:
                        final = True
                        yield batch
            except _SIGNS_OF_DEATH:
                if final or not await self._process.gone(within=_DEATH_NOTICE):
                    raise
                final = True
            else:
                return

    async def embed(self, request: EmbedRequest, upstream_model: str) -> EmbedResponse:
        """Turns texts of up to 512 tokens each into vectors; starts the process and raises as `chat`."""
        return await self._ask(upstream_model, lambda: self._wire.embed(request, upstream_model))

    async def count_tokens(self, request: ChatRequest, upstream_model: str) -> int:
        """Counts the tokens of a prompt; starts the process and raises as `chat`."""
        return await self._ask(upstream_model, lambda: self._wire.count_tokens(request, upstream_model))

    async def list_models(self) -> Sequence[UpstreamModel]:
        """Lists the one model."""
        return (self._model,)

    async def probe(self) -> None:
        """Checks that the process answers, or, if none runs, that one may be started.

        Raises:
            ProxyError: The process does not answer well, or has died too often of late.
        """
        if self._process.pid is None:
            self._process.check()
        else:
            await self._wire.probe()

    async def aclose(self) -> None:
        """Ends the process; calls in flight break."""
        await self._process.aclose()
        await self._http.aclose()

    async def _ask(self, upstream_model: str, ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
        self._check(upstream_model)
        await self._process.ready()
        try:
            return await ask()
        except _SIGNS_OF_DEATH:
            if not await self._process.gone(within=_DEATH_NOTICE):
                raise
        await self._process.ready()
        return await ask()

    def _bounded(self, request: ChatRequest) -> ChatRequest:
        if self._most_output is None or request.generation.max_output_tokens is not None:
            return request
        return replace(request, generation=replace(request.generation, max_output_tokens=self._most_output))

    def _check(self, upstream_model: str) -> None:
        if upstream_model != self._model.name:
            raise ModelNotFound(f"The embedded model is called {self._model.name!r}.")


def _command(config: ProviderConfig, path: Path, alias: str) -> Sequence[str]:
    # The threads wait for each other by spinning: on two busy cores, two of them took ten times as long as one.
    threads = config.threads or max(1, min(_MOST_THREADS, (os.cpu_count() or 1) - 1))
    # By path and with -P: what lies in the working directory must not stand in for a module.
    return (
        *(sys.executable, "-P", str(_CHILD)),
        *("--model", str(path), "--alias", alias),
        *("--context-size", str(config.context_size), "--parallel", str(config.parallel), "--threads", str(threads)),
    )


def _folder() -> Path:
    """Names a new folder for the socket, in a place whose path is short enough."""
    place = tempfile.gettempdir()
    if len(place.encode()) > _LONGEST_FOLDER - 26:
        place = "/tmp"  # noqa: S108 - the folder in it is made by us alone, with a name that nobody can guess
    return Path(place) / f"llmproxy-{token_hex(8)}"
