"""What Azure's filters found in a prompt and in an answer, of which a stream tells piece by piece."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from llmproxy_grpc.messages import JsonObject
from llmproxy_grpc.providers.jsonio import joined
from llmproxy_grpc.providers.scrubbing import one_line

Finding = dict[str, Any]

_MOST_CATEGORIES: Final = 24
"""Of one candidate, and how many prompts are told of: there are a dozen, and one."""
_LONGEST_WORD: Final = 1024
_FLAGS: Final = ("filtered", "detected")
_SEVERITIES: Final = ("safe", "low", "medium", "high")
_WORDS: Final = ("severity", "code", "message")
"""Where the filters themselves failed, code and message say so."""
_SOURCE: Final = ("URL", "license")
"""Where text or code comes from that is protected: whoever uses the code has to name it."""


class Filters:
    """What was found in an answer: of each candidate the worst that was told of each category."""

    def __init__(self) -> None:
        self._found: dict[int, dict[str, Finding]] = {}

    def take(self, candidate: int, told: Any) -> None:
        """Takes what was found in a candidate, or in a piece of it."""
        found = self._found.setdefault(candidate, {})
        for category, finding in _findings(told):
            held = found.get(category)
            if held is None and len(found) >= _MOST_CATEGORIES:
                continue
            if held is None or _badness(finding) >= _badness(held):
                found[category] = finding

    def metadata(self) -> JsonObject:
        """What was found in each candidate, in their order; nothing if nothing was said of any."""
        if not any(self._found.values()):
            return {}
        return {"content_filter_results": [self._found[index] for index in sorted(self._found)]}


def in_prompts(told: Any) -> JsonObject:
    """What was found in each prompt; nothing if nothing was said of any."""
    entries = told[:_MOST_CATEGORIES] if isinstance(told, list) else []
    results = (each.get("content_filter_results") for each in entries if isinstance(each, dict))
    found = [dict(_findings(each)) for each in results]
    return {"prompt_filter_results": found} if any(found) else {}


def _findings(told: Any) -> Iterator[tuple[str, Finding]]:
    """Each category's name, and what was found of it as far as it is known here, which bounds how much that is."""
    if not isinstance(told, dict):
        return
    for category, finding in islice(told.items(), _MOST_CATEGORIES):
        if isinstance(finding, dict):
            yield _word(category), _finding(finding)


def _finding(told: Mapping[str, Any]) -> Finding:
    found: Finding = {name: told[name] for name in _FLAGS if isinstance(told.get(name), bool)}
    found |= _words(told, _WORDS)
    source = told.get("citation")
    if isinstance(source, dict):
        found["citation"] = _words(source, _SOURCE)
    return found


def _words(told: Mapping[str, Any], names: Iterable[str]) -> Finding:
    return {name: _word(told[name]) for name in names if isinstance(told.get(name), str)}


def _word(text: str) -> str:
    return one_line(joined(text), limit=_LONGEST_WORD)


def _badness(finding: Finding) -> tuple[bool, int]:
    severity = finding.get("severity")
    step = _SEVERITIES.index(severity) if severity in _SEVERITIES else 0
    return any(finding.get(name) for name in _FLAGS), step
