"""A server that began from `./llmproxy.yaml` stays with it, also while the file is gone."""

import asyncio
import os
import signal
import sys

CONFIGURATION = """
grpc: {listen: "127.0.0.1:0", predrain: 0s, grace: 1s}
http: {listen: null}
providers: [{name: echo, kind: echo}]
"""


async def until(stream: asyncio.StreamReader, text: bytes) -> bytes:
    async with asyncio.timeout(20):
        while line := await stream.readline():
            if text in line:
                return line
    raise AssertionError(f"{text!r} was not written")


async def test_a_removed_file_is_a_rejected_reload_and_a_new_one_is_taken(tmp_path):
    file = tmp_path / "llmproxy.yaml"
    file.write_text(CONFIGURATION)
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llmproxy_grpc", "serve"),
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("LLMPROXY_")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await until(server.stdout, b"ready")
        file.unlink()
        assert b'"result":"rejected"' in await until(server.stderr, b"config_reload")
        file.write_text(CONFIGURATION + "retries: {max_attempts: 2}\n")
        assert b'"result":"applied"' in await until(server.stderr, b'"applied"')
    finally:
        server.send_signal(signal.SIGTERM)
        await server.communicate()
    assert server.returncode == 0
