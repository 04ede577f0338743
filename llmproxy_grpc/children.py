"""Processes of our own: which modules they find, and what of the environment they see."""

import os
import site
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import llmproxy_grpc

_HANDED_ON: Final = (
    *("PATH", "HOME", "TMPDIR", "LANG", "LC_", "LD_", "DYLD_"),
    *("PYTHON", "OMP_", "GGML_", "CUDA_", "COVERAGE_"),
)
"""Beginnings of the variables that a child may see: what a program needs to run, to compute and to be measured."""


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a program that reads what anybody has made: without the providers' keys."""
    return {name: value for name, value in environ.items() if name.startswith(_HANDED_ON)}


def finding_us(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment in which this very package is found by `python -P`.

    With `-P`, which such a process is to have, what lies in the working directory stands in for no module; a checkout
    that is not installed lies there as well.
    """
    package = str(Path(llmproxy_grpc.__file__).parent.parent)
    if package in (*site.getsitepackages(), site.getusersitepackages()):
        return dict(environ)  # naming it again would put what is installed before the standard library
    path = [package, *filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(path))}
