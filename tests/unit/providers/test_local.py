"""The local kind over a scripted wire and a scripted process: what it adds to them."""

import sys
import tempfile
from contextlib import aclosing
from pathlib import Path

import pytest
from msgspec.structs import replace

from llmproxy_grpc.config.loader import EMBEDDED_MODEL
from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import (
    ModelNotFound,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamStreamBroken,
    UpstreamUnreachable,
)
from llmproxy_grpc.messages import (
    ChatRequest,
    EmbedRequest,
    EmbedResponse,
    FunctionTool,
    GenerationConfig,
    MediaKind,
    MediaPart,
    Message,
    OpaquePart,
    ProviderResponse,
    Role,
    TextDelta,
    TextPart,
    UpstreamEnd,
    UpstreamStart,
)
from llmproxy_grpc.providers.embedded.model import MODEL
from llmproxy_grpc.providers.features import EmbedFeatures, Features, MediaFeature, Source
from llmproxy_grpc.providers.local import LocalProvider, available
from llmproxy_grpc.providers.provider import UpstreamModel

TEXT = TextPart(text="hello")
PICTURE = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")
REQUEST = ChatRequest("local/tiny", (Message(Role.USER, (TEXT,)),))
INPUTS = EmbedRequest("local/tiny", (TEXT,))
VECTORS = EmbedResponse(())
ANSWER = ProviderResponse(candidates=())
BATCHES = [(UpstreamStart(),), (TextDelta(text="a"),), (UpstreamEnd(),)]


class Wire:
    """Answers as scripted: an error is raised, `None` is an answer; a stream may break after its first batch."""

    def __init__(self, *script):
        self.script = list(script)
        self.requests = []
        self.probes = 0

    def features(self, _model):
        return Features(names=("local",), media={MediaKind.IMAGE: MediaFeature(prompts=Source.DATA)})

    async def chat(self, request, upstream_model):
        self._next(request)
        return ANSWER

    async def embed(self, request, upstream_model):
        self._next(request)
        return VECTORS

    async def count_tokens(self, request, upstream_model):
        self._next(request)
        return 37

    async def stream(self, request, upstream_model):
        self._next(request)
        yield BATCHES[0]
        if self.script:
            raise self.script.pop(0)
        for batch in BATCHES[1:]:
            yield batch

    async def probe(self):
        self.probes += 1
        if self.script:
            raise self.script.pop(0)

    def _next(self, request):
        self.requests.append(request)
        if self.script and (error := self.script.pop(0)):
            raise error


class Process:
    """Counts what is asked of it; `lives` says whether it is still there after a failure."""

    def __init__(self, *, lives=False, pid=None, faulty=False):
        self.lives = lives
        self.pid = pid
        self.faulty = faulty
        self.starts = 0
        self.closed = False

    async def ready(self):
        self.check()
        self.starts += 1

    async def gone(self, *, within):
        return not self.lives

    def check(self):
        if self.faulty:
            raise UpstreamUnreachable("it keeps ending")

    async def aclose(self):
        self.closed = True


class Http:
    def __init__(self):
        self.closed = False

    async def aclose(self):
        self.closed = True


def provider(*script, process=None, http=None):
    wire = Wire(*script)
    return LocalProvider(
        "local", model=UpstreamModel("tiny", 8192), process=process or Process(), wire=wire, http=http or Http()
    ), wire


def whole_calls():
    """Every call that is answered in one piece."""
    return (
        lambda local, model="tiny": local.chat(REQUEST, model),
        lambda local, model="tiny": local.embed(INPUTS, model),
        lambda local, model="tiny": local.count_tokens(REQUEST, model),
    )


async def stream(local, model="tiny"):
    async with aclosing(local.stream(REQUEST, model)) as batches:
        return [batch async for batch in batches]


async def test_a_call_waits_for_the_process():
    process = Process()
    local, _ = provider(process=process)
    assert [await call(local) for call in whole_calls()] == [ANSWER, VECTORS, 37]
    assert await stream(local) == BATCHES
    assert process.starts == 4


@pytest.mark.parametrize(
    ("most_output", "asked", "sent"), [(None, None, None), (64, None, 64), (64, 8, 8), (64, 128, 128), (None, 8, 8)]
)
async def test_an_answer_ends_by_itself_unless_the_caller_says_where(most_output, asked, sent):
    request = replace(REQUEST, generation=GenerationConfig(max_output_tokens=asked))
    for ask in (LocalProvider.chat, LocalProvider.stream):
        wire = Wire()
        local = LocalProvider(
            "local", model=UpstreamModel("tiny"), process=Process(), wire=wire, http=Http(), most_output=most_output
        )
        if ask is LocalProvider.chat:
            await local.chat(request, "tiny")
        else:
            async with aclosing(local.stream(request, "tiny")) as batches:
                assert [batch async for batch in batches] == BATCHES
        assert [sent_request.generation.max_output_tokens for sent_request in wire.requests] == [sent]


async def test_an_unknown_model_is_not_found_and_starts_nothing():
    process = Process()
    local, _ = provider(process=process)
    for call in (*whole_calls(), stream):
        with pytest.raises(ModelNotFound):
            await call(local, "huge")
    assert process.starts == 0


@pytest.mark.parametrize("error", [UpstreamUnreachable("nobody there"), UpstreamProtocolError("no answer")])
async def test_a_call_that_met_a_dead_process_is_sent_to_the_next(error):
    for call in (*whole_calls(), stream):
        process = Process()
        local, wire = provider(error, process=process)
        assert await call(local)
        assert process.starts == 2
        assert len(wire.requests) == 2


async def test_a_call_is_sent_twice_at_most():
    for call in (*whole_calls(), stream):
        local, wire = provider(UpstreamUnreachable("one"), UpstreamUnreachable("two"), UpstreamUnreachable("three"))
        with pytest.raises(UpstreamUnreachable, match="two"):
            await call(local)
        assert len(wire.requests) == 2


async def test_a_living_process_that_cannot_be_reached_is_not_asked_again():
    for call in (*whole_calls(), stream):
        local, wire = provider(UpstreamUnreachable("no descriptors"), process=Process(lives=True))
        with pytest.raises(UpstreamUnreachable, match="no descriptors"):
            await call(local)
        assert len(wire.requests) == 1


@pytest.mark.parametrize("error", [UpstreamStreamBroken("gone"), UpstreamProtocolError("no output")])
async def test_a_stream_that_has_begun_is_not_repeated(error):
    local, wire = provider(None, error)
    with pytest.raises(type(error)):
        await stream(local)
    assert len(wire.requests) == 1


async def test_pictures_and_blocks_of_any_kind_are_named_and_left_out():
    block = OpaquePart(provider_kind="local", type="t", value={})
    request = ChatRequest("local/tiny", (Message(Role.USER, (TEXT, PICTURE, block)),), tools=(FunctionTool("f"),))
    local, _ = provider()
    adapted = local.adapt(request, "tiny")
    assert {found.field for found in adapted.unsupported} == {
        "tools",
        "messages[0].parts[1].image",
        "messages[0].parts[2].opaque",
    }
    assert adapted.request.messages == REQUEST.messages


def test_it_takes_texts_for_vectors_of_one_length_and_counts():
    local, _ = provider()
    features = local.features("tiny")
    assert features.embed == EmbedFeatures(most_inputs=1)
    assert features.count_tokens


async def test_a_probe_starts_nothing():
    process = Process()
    local, wire = provider(process=process)
    await local.probe()
    assert process.starts == 0
    assert wire.probes == 0


async def test_a_probe_tells_of_a_process_that_may_not_be_started():
    local, _ = provider(process=Process(faulty=True))
    with pytest.raises(UpstreamUnreachable):
        await local.probe()


async def test_a_probe_asks_the_process_that_runs():
    local, wire = provider(process=Process(pid=1))
    await local.probe()
    assert wire.probes == 1
    wire.script.append(UpstreamOverloaded("loading"))
    with pytest.raises(UpstreamOverloaded):
        await local.probe()


async def test_it_lists_its_one_model_and_closes_what_it_has():
    process, http = Process(), Http()
    local, _ = provider(process=process, http=http)
    assert [model.name for model in await local.list_models()] == ["tiny"]
    await local.aclose()
    assert process.closed
    assert http.closed


def test_it_is_available_where_the_weights_are(tmp_path):
    path = tmp_path / "Tiny.gguf"
    assert not available(path)
    path.write_bytes(b"GGUF")
    assert available(path)


async def test_a_configured_file_names_the_model(tmp_path):
    path = tmp_path / "Tiny.gguf"
    path.write_bytes(b"GGUF")
    config = ProviderConfig(name="mine", kind="local", model_file=path, context_size=512)
    local = LocalProvider.from_config(config, http=None)
    assert (local.name, local.kind) == ("mine", "local")
    assert await local.list_models() == (UpstreamModel("tiny", 512),)
    await local.aclose()


def test_missing_weights_are_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="pull-model"):
        LocalProvider.from_config(ProviderConfig(name="a", kind="local", model_file=tmp_path / "no.gguf"), http=None)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ValueError, match="pull-model"):
        LocalProvider.from_config(ProviderConfig(name="a", kind="local"), http=None)


async def test_the_socket_has_a_short_path_wherever_temporary_files_lie(tmp_path, monkeypatch):
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 100)))
    local = LocalProvider.from_config(ProviderConfig(name="a", kind="local", model_file=path), http=None)
    assert len(str(local._process.socket_path)) < 100
    assert local._process.socket_path.parent.parent == Path("/tmp")
    await local.aclose()


def test_the_default_model_of_the_configuration_is_the_one_that_is_embedded():
    assert f"{LocalProvider.kind}/{MODEL}" == EMBEDDED_MODEL
