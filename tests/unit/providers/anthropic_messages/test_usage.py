import pytest

from llmproxy_grpc.providers.anthropic_messages.usage import read_usage

WRITTEN = {"input_tokens": 10, "output_tokens": 1, "cache_creation_input_tokens": 500}


def test_what_is_kept_for_an_hour_is_part_of_what_was_written():
    split = {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 300}
    usage = read_usage({**WRITTEN, "cache_creation": split})
    assert (usage.input_tokens, usage.cache_write_input_tokens, usage.cache_write_1h_input_tokens) == (510, 500, 300)


@pytest.mark.parametrize("split", [None, "x", [], {}, {"ephemeral_1h_input_tokens": None}])
def test_without_the_split_everything_was_written_for_five_minutes(split):
    assert read_usage({**WRITTEN, "cache_creation": split}).cache_write_1h_input_tokens == 0


def test_no_more_is_kept_for_an_hour_than_was_written():
    usage = read_usage({**WRITTEN, "cache_creation": {"ephemeral_1h_input_tokens": 10**12}})
    assert usage.cache_write_1h_input_tokens == 500


def test_what_was_spent_on_shortening_the_conversation_is_counted_as_well():
    shortening = {"type": "compaction", "input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 50}
    last = {"type": "message", "input_tokens": 10, "output_tokens": 1}
    usage = read_usage({**WRITTEN, "iterations": [shortening, last, None]})
    assert (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens) == (660, 21, 50)
    assert read_usage({**WRITTEN, "iterations": "x"}) == read_usage(WRITTEN)
