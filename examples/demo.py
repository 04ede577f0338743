"""Starts the proxy, asks a real language model, judges the answer, exports it as a dataset, shows health, and ends."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import grpc
from llmproxy_client import export
from llmproxy_client.v1 import chat_pb2, content_pb2, export_pb2, feedback_pb2, generation_pb2, health_pb2, model_pb2
from llmproxy_client.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub

QUESTION = "Why is the sky blue? Answer in two sentences."
MOST_TOKENS = 64
START_LIMIT = 30.0
CALL_LIMIT = 30.0
ANSWER_LIMIT = 50.0
STORE_LIMIT = 20.0
END_LIMIT = 10.0
"""Longest times of the start, a small call, the whole answer, its way into the store and the end, in seconds."""
SHOWN = 300
"""Characters of the dataset's first line that are shown."""

# Nobody's money is spent by a demo: no keys are looked for, and the embedded model is the only provider.
CONFIGURATION = """
grpc: {listen: "127.0.0.1:0", predrain: 0s, grace: 2s}
http: {listen: null}
records: {directory: RECORDS}
providers: [{name: MODEL_PROVIDER, kind: MODEL_PROVIDER}]
telemetry: {log_level: error, log_format: console}
"""


def main() -> int:
    """Runs the demo; returns the exit status."""
    provider, model = embedded_model()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "llmproxy.yaml"
        records = str(Path(folder) / "records")
        file.write_text(CONFIGURATION.replace("MODEL_PROVIDER", provider).replace("RECORDS", records))
        print(f"$ llmproxy serve -c {file.name}")
        with subprocess.Popen(
            [sys.executable, "-m", "llmproxy_grpc", "serve", "-c", str(file)],
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("LLMPROXY_")},
        ) as server:
            overdue = threading.Timer(START_LIMIT, server.kill)
            overdue.start()
            try:
                address = wait_until_ready(server)
                overdue.cancel()
                return talk(address, model, Path(folder) / "dataset")
            finally:
                overdue.cancel()
                stop(server)


def embedded_model() -> tuple[str, str]:
    """The provider and the model to ask: the embedded one, or echo where that cannot run."""
    from llmproxy_grpc.providers.local import available

    if available():
        return "local", "local/smollm2-135m"
    print("The embedded model is not installed or cannot run here: `echo` answers instead, which only repeats.")
    return "echo", "echo/echo"


def wait_until_ready(server: "subprocess.Popen[str]") -> str:
    """Shows what the server prints until it is ready; returns its address."""
    address = ""
    assert server.stdout is not None
    for line in server.stdout:
        print(f"  {line}", end="")
        if line.startswith("grpc "):
            address = line.split()[1]
        if line == "ready\n":
            return address
    raise SystemExit("The server ended before it was ready.")


def talk(address: str, model: str, dataset: Path) -> int:
    """Makes the calls of the demo; the dataset goes into a folder."""
    with grpc.insecure_channel(address) as channel:
        stub = LlmProxyServiceStub(channel)
        print("\nListModels")
        for entry in stub.ListModels(model_pb2.ListModelsRequest(), timeout=CALL_LIMIT).models:
            print(f"  {entry.id}")
        print(f"\nStream {model}: {QUESTION}")
        record_id = stream_answer(stub, model)
        print(f"\nRecordFeedback {record_id}: helpful")
        judgement = feedback_pb2.RecordFeedbackRequest(
            record_id=record_id, name="helpful", thumbs_up=True, source="demo"
        )
        stub.RecordFeedback(judgement, timeout=CALL_LIMIT)
        print("\nExport what was helpful")
        export_helpful(stub, dataset)
        print("\nHealth")
        health = stub.Health(health_pb2.HealthRequest(), timeout=CALL_LIMIT)
        print(f"  {health_pb2.ServingStatus.Name(health.status)} llmproxy {health.version}")
        for provider in health.providers:
            print(f"  {provider.provider}: {health_pb2.ServingStatus.Name(provider.status)}")
    return 0


def stream_answer(stub: LlmProxyServiceStub, model: str) -> str:
    """Prints an answer as it comes, and what it used; returns the id of its record."""
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.ContentPart(text=QUESTION)])
    chat = chat_pb2.ChatRequest(model=model, messages=[message])
    chat.generation.max_output_tokens = MOST_TOKENS
    chat.generation.temperature = 0  # so small a model wanders off if it may
    events = stub.Stream(chat_pb2.StreamRequest(chat=chat), timeout=ANSWER_LIMIT)
    print("  ", end="")
    end, record_id, cut = None, "", ""
    for event in events:
        print(event.delta.text, end="", flush=True)
        record_id = event.start.id or record_id
        if event.finish.finish_reason == generation_pb2.FINISH_REASON_MAX_TOKENS:
            cut = f"; it stops at the demo's limit of {MOST_TOKENS}"
        if event.HasField("end"):
            end = event.end
    if end is None:
        raise SystemExit("\nThe stream has no end: it was cut off.")
    print(f"\n  ({end.usage.input_tokens} tokens in, {end.usage.output_tokens} out{cut})")
    return record_id


def export_helpful(stub: LlmProxyServiceStub, folder: Path) -> None:
    """Exports the records that were judged helpful, once they are in the store, and shows the first line."""
    helpful = export_pb2.ExportFilter(feedback=[export_pb2.FeedbackCondition(name="helpful", thumbs_up=True)])
    give_up_at = time.monotonic() + STORE_LIMIT
    while matched(stub, helpful) == 0:
        if time.monotonic() > give_up_at:
            raise SystemExit("The record did not reach the store.")
        time.sleep(0.05)
    manifest = export(stub, export_pb2.ExportRequest(filter=helpful), folder, timeout=CALL_LIMIT)
    for file in manifest["files"]:
        with (folder / file["name"]).open(encoding="utf-8") as lines:
            line = next(lines).rstrip()
        print(f"  {file['name']}, {file['record_count']} record, {file['size']} bytes:")
        print(f"  {line if len(line) <= SHOWN else line[:SHOWN] + ' ...'}")


def matched(stub: LlmProxyServiceStub, wanted: export_pb2.ExportFilter) -> int:
    """How many records an export would find."""
    plan = export_pb2.ExportRequest(filter=wanted, plan_only=True)
    return max(message.summary.matched_records for message in stub.Export(plan, timeout=CALL_LIMIT))


def stop(server: "subprocess.Popen[str]", within: float = END_LIMIT) -> None:
    """Lets the server drain, and ends it by force if that takes more than so many seconds."""
    server.terminate()
    try:
        server.wait(within)
    except subprocess.TimeoutExpired:
        server.kill()


if __name__ == "__main__":
    sys.exit(main())
