"""The page about reliability names tests that exist, for every fault."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
FAULTS = [f"F{number}" for number in (*range(1, 27), *range(34, 42))]


def test_every_test_that_the_page_names_exists():
    files = subprocess.run(["git", "ls-files", "tests/*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [ROOT / name for name in files.stdout.splitlines()]
    defined = {name for path in paths if path.exists() for name in re.findall(r"def (test_\w+)", path.read_text())}
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named - defined == set()
    assert len(named) > 40


def test_every_fault_has_a_test():
    rows = re.findall(r"^\| (F\d+) \|.*\| (.+) \|$", PAGE, re.MULTILINE)
    assert [fault for fault, _ in rows] == FAULTS
    assert [fault for fault, tests in rows if "`test_" not in tests] == []
