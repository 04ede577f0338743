import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.config.json_source import read_json
from llmproxy_grpc.config.scalars import resolve_scalar
from llmproxy_grpc.config.tree import Node, Source, merge, patterns, plain, spell, walk
from llmproxy_grpc.config.yaml_source import read_yaml

FILE = Source("f", Path(), is_file=True)


def read(text, reader=read_yaml):
    faults = []
    node = reader(text, FILE, faults)
    return node, faults


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("off", "off"),
        ("no", "no"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("012", 12),
        ("0x1f", 31),
        ("0o17", 15),
        ("-3", -3),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_a_plain_word_is_read_by_yaml_1_2(word, value):
    assert resolve_scalar(word) == value
    assert type(resolve_scalar(word)) is type(value)


@pytest.mark.parametrize("word", [".inf", "-.INF", ".nan", "9" * 19, "9" * 5000, "0x" + "f" * 18])
def test_a_number_that_means_nothing_here_is_refused(word):
    with pytest.raises(ValueError, match="number"):
        resolve_scalar(word)


def test_every_value_knows_its_line():
    node, faults = read("a: 1\nb:\n  - x\n  -\n    c: {d: e}\n")
    assert not faults
    assert {spell(path): entry.line for path, entry in walk(node)} == {
        "": 1,
        "a": 1,
        "b": 2,
        "b[0]": 3,
        "b[1]": 5,
        "b[1].c": 5,
        "b[1].c.d": 5,
    }


def test_quoted_words_stay_text():
    node, _ = read("""a: "1"\nb: 'true'\nc: |\n  2\n""")
    assert plain(node) == {"a": "1", "b": "true", "c": "2\n"}


@pytest.mark.parametrize(
    ("text", "line", "path", "complaint"),
    [
        ("a: 1\na: 2\n", 2, "a", "twice, first in line 1"),
        ("a:\n  b: 1\n  b: 2\n", 3, "a.b", "twice"),
        ("a: &x 1\n", 1, "a", "anchor"),
        ("a: 1\nb: *a\n", 2, "b", "alias"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "a", "tag"),
        ("a: !x y\n", 1, "a", "tag"),
        ("a: ! y\n", 1, "a", "tag"),
        ("!!str a: y\n", 1, "a", "tag"),
        ("[a]: 1\n", 1, "", "no word"),
        ("? {a: b}\n: 1\n", 1, "", "no word"),
        ("a: 1\n---\nb: 2\n", 2, "", "one document"),
        ("a: .nan\n", 1, "a", "finite"),
        ("a: 1\n  b: 2\n", 2, "", "is not YAML"),
        ("a: [1\n", 2, "", "is not YAML"),
        ("a: \x01\n", None, "", "character"),
        ("[" * 1000, 1, "[0][0][0][0]", "deeper"),
    ],
)
def test_what_a_configuration_does_not_need_is_refused(text, line, path, complaint):
    _, faults = read(text)
    assert [(fault.line, fault.path) for fault in faults] == [(line, path)]
    assert complaint in faults[0].message


def test_a_syntax_error_never_quotes_the_text():
    _, faults = read('key: "sk-canary\nother: *')
    assert "canary" not in str(faults[0])


def test_text_without_content_is_null():
    assert plain(read("")[0]) is None
    assert plain(read("# nothing\n")[0]) is None


def test_json_allows_what_yaml_does_not():
    node, faults = read('{\n\t"a": [1, -2.5, true, null,\n\t"\\ud83d\\ude00\\/"], "b": {}, "c": []\n}', read_json)
    assert not faults
    assert plain(node) == {"a": (1, -2.5, True, None, "😀/"), "b": {}, "c": ()}
    assert [entry.line for _, entry in walk(node)][:3] == [1, 2, 2]
    assert node.value["a"].value[4].line == 3


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("", 1, "Expecting value"),
        ('{"a": 1,\n "a": 2}', 2, "twice, first in line 1"),
        ('{"a": 1,\n}', 2, "key"),
        ('{"a" 1}', 1, ": is missing"),
        ("[1 2]", 1, "] is missing"),
        ("[1,]", 1, "Expecting value"),
        ('{"a": 1}\n{}', 2, "more text"),
        ('{"a": NaN}', 1, "number"),
        ('{"a": 1e999}', 1, "out of range"),
        ('{"a": 99999999999999999999}', 1, "out of range"),
        (f'{{"a": {"9" * 5000}}}', 1, "number"),
        ('{"a": "\\ud800"}', 1, "Unicode"),
        ("[" * 100_000, 1, "deeper"),
        ("{1: 2}", 1, "double quotes"),
    ],
)
def test_json_that_is_wrong_is_refused_with_its_line(text, line, complaint):
    _, faults = read(text, read_json)
    assert [fault.line for fault in faults] == [line]
    assert complaint in faults[0].message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=10,
)


def tuples(value):
    if isinstance(value, dict):
        return {key: tuples(entry) for key, entry in value.items()}
    return tuple(tuples(entry) for entry in value) if isinstance(value, list) else value


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_json_is_read_as_the_standard_library_reads_it(value, indent, ascii_only):
    node, faults = read(json.dumps(value, indent=indent, ensure_ascii=ascii_only), read_json)
    assert not faults
    assert plain(node) == tuples(value)


@given(st.text(max_size=60), st.sampled_from([read_yaml, read_json]))
def test_no_text_crashes_a_reader(text, reader):
    node, faults = read(text, reader)
    assert node is not None or faults


def test_mappings_merge_and_lists_are_replaced():
    under, _ = read("a: {b: 1, c: [1, 2]}\nd: 1\n")
    over, _ = read("a: {c: [3], e: 4}\nd: {f: 5}\n")
    assert plain(merge(under, over)) == {"a": {"b": 1, "c": (3,), "e": 4}, "d": {"f": 5}}


@pytest.mark.parametrize(
    ("path", "exact", "wildcard"),
    [
        (("a",), "a", "*"),
        (("a", "b"), "a.b", "a.*"),
        (("a", 3, "b"), "a[].b", "a[].*"),
        (("a", 3), "a[]", "a.*"),
        (("a", 1, 2, "b", 0), "a[][].b[]", "a[][].b.*"),
        ((), "", ""),
    ],
)
def test_a_path_fits_its_own_pattern_and_that_of_its_mapping(path, exact, wildcard):
    assert patterns(path) == (exact, wildcard)


def test_a_path_is_spelled_on_one_line_whatever_its_keys():
    assert spell(("a", 0, "b c\n", "d")) == 'a[0]."b c\\n".d'
    assert len(spell(("x" * 10_000,))) < 100


def test_an_empty_tree_is_one_node():
    assert list(walk(Node(None, FILE))) == [((), Node(None, FILE))]
