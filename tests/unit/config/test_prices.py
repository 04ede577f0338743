import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from llmproxy_grpc.config.faults import ConfigError
from llmproxy_grpc.config.loader import load
from llmproxy_grpc.config.manager import Reload
from tests.unit.config.test_manager import Folder, replace

AMOUNT = "must be a number from 0 to 1000000, with nine decimal places at most"
ROW = {"vendor": "azure", "models": ["gpt-prod"], "input": 1.25, "output": 10}


def loaded(folder: Path, prices, main="prices: {file: prices.yaml}", name="prices.yaml"):
    (folder / "llmproxy.yaml").write_text(main)
    (folder / name).write_text(prices if isinstance(prices, str) else json.dumps(prices))
    return load(None, [], {}, folder)


def faults(folder: Path, prices, **settings):
    with pytest.raises(ConfigError) as caught:
        loaded(folder, prices, **settings)
    return [str(fault) for fault in caught.value.faults]


def one_row(folder, **keys):
    return loaded(folder, {"rows": [{**ROW, **keys}]}).config.prices.rows[0]


def test_the_rows_of_the_file_are_those_of_the_configuration(tmp_path):
    row = one_row(tmp_path, since="2026-12-31", tiers=[{"above": 1000, "input": 2.5, "output": 15}])
    assert (row.vendor, row.models, row.input, row.output) == ("azure", ("gpt-prod",), Decimal("1.25"), Decimal(10))
    assert (row.since, row.currency, row.cached_input) == (date(2026, 12, 31), "USD", None)
    assert [(tier.above, tier.input) for tier in row.tiers] == [(1000, Decimal("2.5"))]


def test_the_file_may_be_json_and_is_found_beside_the_configuration(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "c.yaml").write_text("prices: {file: p.json}")
    (tmp_path / "conf" / "p.json").write_text(json.dumps({"rows": [ROW]}))
    result = load(Path("conf/c.yaml"), [], {}, tmp_path)
    assert len(result.config.prices.rows) == 1
    assert result.further_files == (tmp_path / "conf" / "p.json",)


def test_rows_may_stand_in_the_configuration_itself_but_not_in_both(tmp_path):
    inline = json.dumps({"prices": {"rows": [ROW]}})
    assert len(loaded(tmp_path, "", main=inline).config.prices.rows) == 1
    both = json.dumps({"prices": {"rows": [ROW], "file": "prices.yaml"}})
    (fault,) = faults(tmp_path, {"rows": [ROW]}, main=both)
    assert fault.startswith("llmproxy.yaml:1: prices.file: is there beside prices.rows; keep one of them")


def test_a_file_that_is_not_there_is_named_once(tmp_path):
    (fault,) = faults(tmp_path, "", main="prices: {file: other.yaml}")
    assert fault == 'llmproxy.yaml:1: prices.file: is no file (found "other.yaml")'


@pytest.mark.parametrize("section", ["prices: 3", "prices: {file: []}", "prices: {file: 5}"])
def test_a_section_that_is_none_is_an_ordinary_fault(tmp_path, section):
    (fault,) = faults(tmp_path, "", main=section)
    assert fault.startswith("llmproxy.yaml:1: prices")


@pytest.mark.parametrize("section", ["{}", "prices: {}", "prices: {file: null}"])
def test_no_file_is_no_rows(tmp_path, section):
    result = loaded(tmp_path, "", main=section)
    assert (result.config.prices.rows, result.further_files) == ((), ())


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]", "{}", "row: []", "text"])
def test_a_file_without_rows_is_a_fault_for_it_is_most_often_half_written(tmp_path, text):
    (fault,) = faults(tmp_path, text)
    assert fault == "prices.yaml:1: prices: must be a mapping with the key rows"


def test_text_that_cannot_be_read_is_a_fault_of_the_file(tmp_path):
    (fault,) = faults(tmp_path, "rows: [")
    assert fault.startswith("prices.yaml:2: prices: is not YAML")
    (tmp_path / "prices.yaml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"prices\.file: is not UTF-8 text"):
        load(None, [], {}, tmp_path)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("input: -1, output: 1", f"input: {AMOUNT} (found -1)"),
        ("input: 1e7, output: 1", "input: must be a number from 0 to 1000000,"),
        ("input: true, output: 1", "input: must be a number"),
        ("input: cheap, output: 1", f'input: {AMOUNT} (found "cheap")'),
        ("input: .nan, output: 1", "input: must be a finite number"),
        ("input: 0.1234567891, output: 1", "input: must be a number"),
        ("input: 1", "output: is required"),
        ("input: 1, output: 1, since: 3", "since: must be a date, such as 2026-12-31 (found 3)"),
        ("input: 1, output: 1, since: 2026-13-01", "since: must be a date"),
        ("input: 1, output: 1, currency: usd", 'currency: must match ^[A-Z]{3}$ (found "usd")'),
        ("input: 1, output: 1, cached_inputs: 1", "cached_inputs: is an unknown key; did you mean cached_input?"),
        ("input: 1, output: 1, tiers: [{above: 0, input: 1, output: 1}]", "tiers[0].above: must be greater"),
    ],
)
def test_a_bad_row_is_named_by_file_line_path_and_value(tmp_path, row, fault):
    (found,) = faults(
        tmp_path, f"rows:\n- {{vendor: v, models: [m], input: 1, output: 1}}\n- {{vendor: v, models: [n], {row}}}"
    )
    assert found.startswith(f"prices.yaml:3: prices.rows[1].{fault}")


def test_tiers_ascend(tmp_path):
    tiers = [{"above": above, "input": 1, "output": 1} for above in (200, 100)]
    (fault,) = faults(tmp_path, {"rows": [{**ROW, "tiers": tiers}]})
    assert "has tiers that do not ascend" in fault


def test_a_model_has_one_price_from_one_day_on(tmp_path):
    later = {**ROW, "since": "2027-01-01"}
    assert len(loaded(tmp_path, {"rows": [ROW, later, {**ROW, "vendor": "other"}]}).config.prices.rows) == 3
    (fault,) = faults(tmp_path, {"rows": [ROW, later, {**ROW, "models": ["x", "gpt-prod"]}]})
    assert "prices.rows[2]: prices a model of prices.rows[0] again, from the same day on" in fault
    (fault,) = faults(tmp_path, {"rows": [{**ROW, "models": ["x", "x"]}]})
    assert "names a model twice" in fault


def test_another_key_of_the_file_is_a_fault(tmp_path):
    (fault,) = faults(tmp_path, "file: other.yaml\nrows: []")
    assert fault == "prices.yaml:1: prices.file: is an unknown key; known is rows"


def test_dollars_in_the_file_are_no_variables(tmp_path):
    assert one_row(tmp_path, vendor="${HOME}").vendor == "${HOME}"


async def test_a_change_of_the_file_reloads_and_a_bad_one_does_not_harm(tmp_path):
    (tmp_path / "prices.yaml").write_text(json.dumps({"rows": [ROW]}))
    path = tmp_path / "c.yaml"
    path.write_text("prices: {file: prices.yaml}")
    folder = Folder(path)
    async with folder.watched():
        replace(tmp_path / "prices.yaml", json.dumps({"rows": [{**ROW, "input": "none"}]}))
        assert await folder.next() is Reload.REJECTED
        replace(tmp_path / "prices.yaml", json.dumps({"rows": [{**ROW, "input": 7}]}))
        assert await folder.next() is Reload.APPLIED
        assert folder.manager.config.prices.rows[0].input == 7
