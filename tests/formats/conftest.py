"""Files as an export would leave them, for the libraries that read such files in real life.

The libraries are at home in the network; none of them may use it here.
"""

import os

import pytest

from llmproxy_grpc.datasets.formats import HEADERS, render
from llmproxy_grpc.datasets.options import Options
from llmproxy_grpc.datasets.skipping import Skipped

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}


@pytest.fixture
def write(tmp_path):
    """Writes examples by name as a file; gives its path, the names of its lines, and the reasons of the others."""

    def written(form, examples, **options):
        data, names, reasons = HEADERS.get(form, b""), [], {}
        for name, made in examples.items():
            line = render(form, made, Options(**options))
            if isinstance(line, Skipped):
                reasons[name] = line.reason.value
            else:
                data += line
                names.append(name)
        path = tmp_path / f"{form.name.lower()}.jsonl"
        path.write_bytes(data)
        return path, names, reasons

    return written
