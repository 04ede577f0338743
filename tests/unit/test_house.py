"""The rules of the house that no tool checks."""

import ast
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED = ("_gen", "v1", "protos")
LONGEST = 400
DATES = ("records", "export", "pricing", "providers")
"""Folders that deal with dates: of rows, of files, of prices, of credentials."""
ROOMS = ("utils", "helpers", "common", "base", "misc", "constants", "types")


def tracked(*patterns: str) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    paths = [ROOT / name for name in found]
    return [path for path in paths if path.exists() and not set(GENERATED) & set(path.relative_to(ROOT).parts)]


def test_no_module_is_longer_than_four_hundred_lines():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in tracked("*.py", "*.go")}
    assert len(lengths) > 100
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_every_module_opens_with_one_sentence():
    modules = tracked("llmproxy_grpc/*.py")
    docstrings = {path: ast.get_docstring(ast.parse(path.read_text())) or "" for path in modules}
    assert len(docstrings) > 100
    assert [path for path, text in docstrings.items() if not text.split("\n\n")[0].endswith(".")] == []


def test_no_room_is_called_by_a_word_that_says_nothing():
    names = {part for path in tracked("llmproxy_grpc/*.py") for part in path.with_suffix("").parts}
    assert not names & set(ROOMS)


def test_nothing_around_a_call_is_timed_by_the_wall_clock():
    """It jumps. Those that name a moment by it, and time nothing, are listed here."""
    package = ROOT / "llmproxy_grpc"
    modules = [path.relative_to(package) for path in tracked("llmproxy_grpc/*.py")]
    around = [module for module in modules if module.parts[0] not in (*DATES, "record_commands.py")]
    reading = {
        f"{module}: {found}"
        for module in around
        for found in re.findall(r"\btime\.time\w*|from time import", (package / module).read_text())
    }
    assert reading == {"server/export.py: time.time", "server/feedback.py: time.time_ns", "server/rpc.py: time.time_ns"}


def test_no_test_is_skipped_without_being_counted():
    marks = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked("tests/*.py", "clients/*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"mark\.(skip|xfail)\b", line)
    ]
    assert marks == []


def test_no_check_is_behind_a_pipe():
    # A shell gives the status of the last command of a pipe: a check before it could never fail.
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    assert len(recipe[1].splitlines()) > 10
    assert [line for line in recipe[1].splitlines() if "|" in line or ";" in line or line.startswith("\t-")] == []
