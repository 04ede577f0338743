"""Python processes of our own: which modules they find."""

import os
import site
from collections.abc import Mapping
from pathlib import Path

import llmproxy_grpc


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
