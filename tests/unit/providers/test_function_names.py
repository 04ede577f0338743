"""Names of functions: what a form takes, and the nearest name to one that it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.providers.function_names import ANY_NAME, PLAIN_NAME, NameForm

LETTER_FIRST = NameForm(128, ".:", first_is_letter=True)


@pytest.mark.parametrize(
    ("form", "taken", "refused"),
    [
        (PLAIN_NAME, ["f", "get-weather_2", "2nd", "-", "x" * 64], ["", "a.b", "a b", "a\n", "ä", "x" * 65, "a]b"]),
        (LETTER_FIRST, ["f", "a.b:c-d", "_1", "x" * 128], ["1st", "-a", ".a", "", "x" * 129, "a/b"]),
        (ANY_NAME, ["f", "a.b", "multi tool/use", "x" * 1000], []),
    ],
)
def test_what_a_form_takes(form, taken, refused):
    assert [name for name in (*taken, *refused) if form.takes(name)] == taken


@pytest.mark.parametrize(
    ("form", "name", "nearest"),
    [
        (PLAIN_NAME, "multi_tool_use.parallel", "multi_tool_use_parallel"),
        (PLAIN_NAME, "x" * 70, "x" * 64),
        (LETTER_FIRST, "1st.thing", "_1st.thing"),
        (LETTER_FIRST, "1" * 128, "_" + "1" * 127),
    ],
)
def test_the_nearest_name(form, name, nearest):
    assert form.like(name) == nearest


@given(st.text(min_size=1), st.sampled_from([PLAIN_NAME, LETTER_FIRST]))
def test_the_nearest_name_is_taken(name, form):
    assert form.takes(form.like(name))
    assert not form.takes(name) or form.like(name) == name
