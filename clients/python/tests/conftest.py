"""A proxy that answers by script, on a free loopback port or a unix socket."""

import hashlib
import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import google_crc32c
import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message as ProtoMessage
from google.rpc.status_pb2 import Status

from llmproxy_client import Client, connect
from llmproxy_client.ctl.cli import run
from llmproxy_client.ctl.terminal import Terminal
from llmproxy_client.v1.chat_pb2 import Candidate, ChatResponse, StreamResponse
from llmproxy_client.v1.content_pb2 import ROLE_ASSISTANT, ContentPart, Message
from llmproxy_client.v1.embed_pb2 import Embedding, EmbedResponse
from llmproxy_client.v1.export_pb2 import SPLIT_PART_TRAIN, ExportResponse
from llmproxy_client.v1.feedback_pb2 import RecordFeedbackResponse
from llmproxy_client.v1.generation_pb2 import FINISH_REASON_STOP, USAGE_SOURCE_PROVIDER
from llmproxy_client.v1.health_pb2 import SERVING_STATUS_SERVING, HealthResponse
from llmproxy_client.v1.llm_proxy_service_pb2_grpc import (
    LlmProxyServiceServicer,
    add_LlmProxyServiceServicer_to_server,
)
from llmproxy_client.v1.model_pb2 import CountTokensResponse, ListModelsResponse


@dataclass(frozen=True)
class Refusal(grpc.Status):
    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...] = ()


def refusal(code: grpc.StatusCode, message: str, *details: ProtoMessage, trailers: Sequence[Any] = ()) -> Refusal:
    packed = []
    for detail in details:
        packed.append(Packed())
        packed[-1].Pack(detail)
    status = Status(code=code.value[0], message=message, details=packed)
    return Refusal(code, message, (("grpc-status-details-bin", status.SerializeToString()), *trailers))


def numbered(*events: Mapping[str, Any]) -> list[StreamResponse]:
    return [StreamResponse(sequence=number, **event) for number, event in enumerate(events)]


def spoken(*pieces: str) -> list[StreamResponse]:
    """A whole stream that says these pieces."""
    return numbered(
        {"start": {"id": "r1", "model": "assistant"}},
        *({"delta": {"text": piece}} for piece in pieces),
        {"finish": {"finish_reason": FINISH_REASON_STOP}},
        {"end": {"usage": {"input_tokens": 1, "output_tokens": len(pieces)}}},
    )


def said(*parts: ContentPart, finish_reason: Any = FINISH_REASON_STOP) -> ChatResponse:
    message = Message(role=ROLE_ASSISTANT, parts=parts)
    return ChatResponse(
        id="r1", model="assistant", candidates=[Candidate(message=message, finish_reason=finish_reason)]
    )


def vectors(*numbers: Sequence[float]) -> EmbedResponse:
    return EmbedResponse(id="r1", model="assistant", embeddings=[Embedding(values=values) for values in numbers])


@dataclass
class Script(LlmProxyServiceServicer):
    """What the proxy answers, and what it was asked."""

    answer: ChatResponse = field(default_factory=lambda: said(ContentPart(text="Hello there")))
    events: list[StreamResponse] = field(default_factory=lambda: spoken("Hello", " there"))
    pages: dict[str, ListModelsResponse] = field(default_factory=lambda: {"": ListModelsResponse()})
    health: HealthResponse = field(default_factory=lambda: HealthResponse(status=SERVING_STATUS_SERVING))
    embedded: EmbedResponse = field(default_factory=lambda: vectors([0.25, -0.5]))
    counted: CountTokensResponse = field(
        default_factory=lambda: CountTokensResponse(input_tokens=37, source=USAGE_SOURCE_PROVIDER)
    )
    exported: list[ExportResponse] = field(default_factory=list)
    """The messages of an export; the token of each is its number."""
    cuts: list[int] = field(default_factory=list)
    """Behind so many messages each call of Export breaks off, one after the other."""
    cut: Refusal = field(default_factory=lambda: refusal(grpc.StatusCode.UNAVAILABLE, "cut"))
    """How it breaks off."""
    error: Refusal | None = None
    failures: int = 1_000_000
    """How many calls `error` meets before the rest succeeds."""
    hang: bool = False
    """Whether a call stays open behind its last event."""
    asked: list[Any] = field(default_factory=list)
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)
    """Set when a call is there."""
    left: threading.Event = field(default_factory=threading.Event)
    """Set when a call is over, for whatever reason."""

    def Chat(self, request, context):  # noqa: N802 - gRPC's name
        self._take(request, context)
        self._fail(context)
        return self.answer

    def Stream(self, request, context):  # noqa: N802 - gRPC's name
        self._take(request, context)
        yield from self.events
        self._fail(context)
        while self.hang and not self.left.wait(0.01):
            pass

    def Export(self, request, context):  # noqa: N802 - gRPC's name
        self._take(request, context)
        self._fail(context)
        header, *rest = self.exported
        behind = int(request.resume_token or 0)
        cut = self.cuts.pop(0) if self.cuts else len(self.exported)
        for number, message in enumerate([header, *rest[behind:]][:cut]):
            yield ExportResponse(sequence=number, resume_token=str(behind + number), **_payload(message))
        if cut < len(rest) - behind + 1:
            context.abort_with_status(self.cut)

    def RecordFeedback(self, request, context):  # noqa: N802 - gRPC's name
        self._take(request, context)
        self._fail(context)
        return RecordFeedbackResponse(create_time={"seconds": 1_767_225_600})

    def Embed(self, request, context):  # noqa: N802 - gRPC's name
        self._take(request, context)
        self._fail(context)
        return self.embedded

    def CountTokens(self, request, context):  # noqa: N802 - gRPC's name
        self._take(request, context)
        self._fail(context)
        return self.counted

    def ListModels(self, request, context):  # noqa: N802 - gRPC's name
        self._take(request, context)
        self._fail(context)
        return self.pages[request.page_token]

    def Health(self, request, context):  # noqa: N802 - gRPC's name
        self._take(request, context)
        self._fail(context)
        return self.health

    def _take(self, request, context) -> None:
        self.asked.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        context.add_callback(self.left.set)
        self.reached.set()

    def _fail(self, context) -> None:
        if self.error is not None and self.failures > 0:
            self.failures -= 1
            context.abort_with_status(self.error)


def _payload(message: ExportResponse) -> dict[str, Any]:
    kind = message.WhichOneof("payload")
    return {kind: getattr(message, kind)}


def dataset(*lines: bytes, per_chunk: int = 2, per_file: int = 4, compress: Any = bytes) -> list[ExportResponse]:
    """The messages of a whole export of these lines."""
    messages = [
        ExportResponse(
            header={"plan_id": "plan-1", "as_of_seq": 90, "matched_records": len(lines) + 1, "selected_records": -1}
        )
    ]
    for index in range(-(-len(lines) // per_file)):
        mine = lines[index * per_file : (index + 1) * per_file]
        for start in range(0, len(mine), per_chunk):
            some = mine[start : start + per_chunk]
            data = compress(b"".join(some))
            messages.append(
                ExportResponse(
                    chunk={
                        "data": data,
                        "record_count": len(some),
                        "part": SPLIT_PART_TRAIN,
                        "crc32c": google_crc32c.value(data),
                        "file_index": index,
                    }
                )
            )
        whole = b"".join(mine)
        messages.append(
            ExportResponse(
                file={
                    "part": SPLIT_PART_TRAIN,
                    "record_count": len(mine),
                    "byte_count": len(whole),
                    "sha256": hashlib.sha256(whole).digest(),
                    "index": index,
                }
            )
        )
    summary = {"matched_records": len(lines) + 1, "written_records": len(lines), "skipped_records": {"no_answer": 1}}
    messages.append(ExportResponse(summary=summary))
    return messages


@contextmanager
def serving(
    script: Script, address: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None
) -> Iterator[str]:
    """Serves the script; gives the target."""
    pool = ThreadPoolExecutor(4)
    server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
    add_LlmProxyServiceServicer_to_server(script, server)
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    try:
        yield address if address.startswith("unix:") else f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()
        pool.shutdown()


class Screen(io.StringIO):
    def __init__(self, tty=False):
        super().__init__()
        self.tty = tty

    def isatty(self):
        return self.tty


class Ctl:
    """Runs llmproxyctl in this process, and keeps what it printed."""

    def __init__(self, target):
        self.target = target
        self.terminal = Terminal(Screen(), Screen())

    def __call__(self, *argv, stdin=b"", tty=False, **environment):
        self.terminal = Terminal(Screen(tty), Screen(tty))
        return run(argv, {"LLMPROXY_TARGET": self.target, **environment}, self.terminal, io.BytesIO(stdin))

    @property
    def out(self):
        return self.terminal.out.getvalue()

    @property
    def err(self):
        return self.terminal.err.getvalue()


@pytest.fixture(name="script")
def _script() -> Script:
    return Script()


@pytest.fixture(name="target")
def _target(script) -> Iterator[str]:
    with serving(script) as target:
        yield target


@pytest.fixture(name="serving")
def _serving() -> Callable[..., AbstractContextManager[str]]:
    return serving


@pytest.fixture(name="refusal")
def _refusal() -> Callable[..., Refusal]:
    return refusal


@pytest.fixture(name="numbered")
def _numbered() -> Callable[..., list[StreamResponse]]:
    return numbered


@pytest.fixture(name="spoken")
def _spoken() -> Callable[..., list[StreamResponse]]:
    return spoken


@pytest.fixture(name="said")
def _said() -> Callable[..., ChatResponse]:
    return said


@pytest.fixture(name="dataset")
def _dataset() -> Callable[..., list[ExportResponse]]:
    return dataset


@pytest.fixture(name="vectors")
def _vectors() -> Callable[..., EmbedResponse]:
    return vectors


@dataclass(frozen=True)
class Certificates:
    ca: Path
    cert: Path
    key: Path


@pytest.fixture(name="certificates", scope="session")
def _certificates(tmp_path_factory) -> Certificates:
    """A self-signed certificate for 127.0.0.1, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "cert.pem").write_bytes(pem)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(secret)
    return Certificates(folder / "cert.pem", folder / "cert.pem", folder / "key.pem")


@pytest.fixture(name="readme", scope="session")
def _readme() -> str:
    return (Path(__file__).parent.parent / "README.md").read_text()


@pytest.fixture(name="client")
def _client(target) -> Iterator[Client]:
    with connect(target, retries=False) as client:
        yield client


@pytest.fixture(name="folder")
def _folder(tmp_path) -> Path:
    return tmp_path / "deep" / "data"


@pytest.fixture(name="ctl")
def _ctl(target) -> Ctl:
    return Ctl(target)


@pytest.fixture(name="screens")
def _screens() -> Terminal:
    return Terminal(Screen(), Screen())
