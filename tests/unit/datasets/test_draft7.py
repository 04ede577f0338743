"""Patterns in schemas that Python warns of, judged while other threads go on."""

import json
import subprocess
import sys

import pytest

from llmproxy_grpc.datasets.formats.draft7 import is_valid

PATTERNS = ["[[a]", "[!--b]", "[a&&b]", "[a||b]", "[a~~b]", "(([[a]))", "(?:x(?=[[a]))", "(?P<n>(?:([!--b])))"]


def schema(pattern):
    return json.dumps({"type": "string", "pattern": pattern}).encode()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_that_python_warns_of_is_one_even_where_warnings_are_errors(pattern):
    assert is_valid(schema(pattern))


@pytest.mark.parametrize("pattern", ["[[a", "[[a](", "[b-a--]", "*"])
def test_what_is_no_pattern_is_none(pattern):
    assert not is_valid(schema(pattern))


@pytest.mark.parametrize("options", [(), ("-W", "error::FutureWarning")])
def test_what_other_threads_are_warned_of_stays_as_it_is(options):
    script = f"""
import warnings
from llmproxy_grpc.datasets.formats.draft7 import is_valid

def changed(*args, **kwargs):
    raise AssertionError("the warnings of the whole process were changed")

warnings.catch_warnings = warnings.simplefilter = warnings.filterwarnings = changed
assert all(is_valid(schema) for schema in {[schema(pattern) for pattern in PATTERNS]})
try:
    warnings.warn("of somebody else", FutureWarning)
except FutureWarning:
    print("an error")
"""
    done = subprocess.run([sys.executable, *options, "-c", script], capture_output=True, text=True, check=False)
    if options:
        assert (done.stdout, done.stderr) == ("an error\n", "")
    else:
        assert "FutureWarning: of somebody else" in done.stderr
        assert "Possible" not in done.stderr
    assert done.returncode == 0
