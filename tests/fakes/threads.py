"""Notes what runs beside the event loop."""

import threading
from typing import Any

import pytest


def ran_beside(monkeypatch: pytest.MonkeyPatch, holder: Any, name: str) -> list[bool]:
    """Gives a list that gets, for each call of a function of `holder`, whether another thread than this one made it."""
    here = threading.current_thread()
    really = getattr(holder, name)
    beside: list[bool] = []

    def noted(*given: Any, **named: Any) -> Any:
        beside.append(threading.current_thread() is not here)
        return really(*given, **named)

    monkeypatch.setattr(holder, name, noted)
    return beside
