"""Python's csv, pandas and Arrow read the figures."""

import csv

import pandas as pd
import pytest
from msgspec.structs import replace
from pyarrow import csv as arrow_csv

from llmproxy_grpc.datasets.example import Feedback, Figures
from llmproxy_grpc.datasets.options import Format
from llmproxy_grpc.messages import ChatRequest, Cost, Usage
from tests.fakes.examples import EVERY_SHAPE, PARALLEL_CALLS, PLAIN

COSTLY = replace(
    PLAIN,
    request=replace(
        PLAIN.request, labels={"team": 'a,"b"', "app": "x"}, end_user_id="=1+1", conversation_id="a\nb\u2028c"
    ),
    figures=Figures(
        started_us=1_700_000_000_000_000,
        latency_us=1_500_000,
        usage=Usage(input_tokens=3, total_tokens=5, cost=Cost("USD", 1_234_567)),
    ),
    feedback=(
        Feedback(name="helpful", value=True),
        Feedback(name="score", value=0.5),
        Feedback(name="note", value="secret words"),
        Feedback(name="better", value=PLAIN.candidates[0].message),
    ),
)


def only_row(path):
    (row,) = csv.DictReader(path.read_text().splitlines())
    return row


def test_every_record_is_one_line_of_the_same_columns(write):
    path, names, reasons = write(Format.CSV, {**EVERY_SHAPE, "costly": COSTLY, "bare": replace(PLAIN, candidates=())})
    assert reasons == {}
    assert len(path.read_text().splitlines()) == len(names) + 1
    assert pd.read_csv(path).shape == (len(names), 30)
    assert arrow_csv.read_csv(path).num_rows == len(names)


def test_the_figures_are_those_of_the_record(write):
    row = only_row(write(Format.CSV, {"one": COSTLY})[0])
    assert row["start_time"] == "2023-11-14T22:13:20.000000Z"
    assert (row["latency_seconds"], row["time_to_first_token_seconds"]) == ("1.500000", "")
    assert (row["cost"], row["currency"], row["total_tokens"]) == ("0.001234567", "USD", "5")
    assert row["labels"] == '{"app":"x","team":"a,\\"b\\""}'
    assert row["feedback"] == '{"helpful":true,"score":0.5}'
    assert row["messages"] == "3"
    assert row["finish_reason"] == "STOP"


def test_nothing_that_was_said_is_in_it(write):
    text = write(Format.CSV, {"one": COSTLY, "calls": PARALLEL_CALLS})[0].read_text()
    assert not [word for word in ("Hello", "secret", "Rome", "warm") if word in text]


def test_no_cell_is_a_formula_and_none_has_two_lines(write):
    row = only_row(write(Format.CSV, {"one": COSTLY})[0])
    assert row["end_user_id"] == "'=1+1"
    assert row["conversation_id"] == "a b c"


FORMULAS = ("=1", "+1", "-1", "@a", " =1", "\t=1", "\u3000@a", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20a")


@pytest.mark.parametrize("formula", FORMULAS, ids=ascii)
def test_a_formula_is_none_whatever_stands_before_it(write, formula):
    asked = replace(COSTLY, request=replace(COSTLY.request, end_user_id=formula))
    assert only_row(write(Format.CSV, {"one": asked})[0])["end_user_id"] == f"'{formula}"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\x0b", "\x1e", "\x85", "\u2028"])
def test_a_line_end_that_ends_a_text_ends_no_row(write, end):
    ended = replace(COSTLY, request=replace(COSTLY.request, end_user_id=f"a{end}"))
    assert only_row(write(Format.CSV, {"one": ended})[0])["end_user_id"] == "a"


def test_what_is_unknown_is_empty(write):
    bare = replace(PLAIN, request=ChatRequest("m", ()), candidates=(), content_kept=False)
    row = only_row(write(Format.CSV, {"one": bare})[0])
    assert {name: value for name, value in row.items() if value} == {
        "id": "0193",
        "seq": "7",
        "model": "m",
        "grpc_code": "0",
    }
