"""The benchmark over all kinds: every kind is in it, and its table says what was measured."""

from bench.kinds import BASELINE, LOADS, NAMES, RELAY, TOKENS, request_of, table
from tests.providers.kinds import HTTP_KINDS


def test_the_table_has_a_column_for_each_kind_and_ratios_to_the_baseline():
    assert [*(kind.name for kind in HTTP_KINDS), RELAY] == list(NAMES)
    seconds = {name: [3.0, 2.0, 8.0] for name in NAMES} | {BASELINE: [2.0, 2.0, 2.0]}
    head, _, row = table([("Chat, a call", seconds)]).splitlines()
    assert head.split("|")[2:-1] == [f" `{name}` " for name in NAMES]
    assert row.count(" 1.50 ") == len(NAMES) - 1
    assert " 2000000.0 µs " in row


def test_streams_count_by_tokens_and_calls_by_calls():
    assert [load.pieces == load.calls * (TOKENS if load.stream else 1) for load in LOADS] == [True] * len(LOADS)
    assert [len(request_of(load).tools) for load in LOADS] == [0, 60, 0, 0]
