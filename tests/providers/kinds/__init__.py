"""What the suites need to know of each kind, one module a kind: found here by its name `KIND`.

A module's `KIND` is an `HttpKind`, or a `Specimen` for a kind without a wire of its own; several (one for each API that
a kind speaks) stand in a tuple.
"""

from importlib import import_module
from pkgutil import iter_modules

from tests.providers.http_kind import HttpKind
from tests.providers.specimen import Specimen


def _found() -> list[HttpKind | Specimen]:
    found: list[HttpKind | Specimen] = []
    for module in sorted(iter_modules(__path__), key=lambda module: module.name):
        kind = import_module(f"{__name__}.{module.name}").KIND
        found += kind if isinstance(kind, tuple) else [kind]
    return found


HTTP_KINDS = [kind for kind in _found() if isinstance(kind, HttpKind)]
SPECIMENS = [kind.specimen() if isinstance(kind, HttpKind) else kind for kind in _found()]
