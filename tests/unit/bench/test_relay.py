"""The benchmark of the whole proxy behind which another one stands."""

import pytest

from bench.relay import LOADS, TOKENS, config
from llmproxy_grpc.config.schema import Config


def test_its_configuration_is_valid_and_has_a_model_for_each_kind():
    read = Config.model_validate(config(1, 2))
    assert [(model.id, model.targets[0].provider) for model in read.models] == [("openai", "openai"), ("grpc", "grpc")]


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.title)
def test_calls_count_by_calls_and_streams_by_tokens(load):
    assert load.pieces == load.calls * (TOKENS if load.stream else 1)
