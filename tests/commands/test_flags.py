"""Each flag of each command reaches its callee with its value; a flag without a row in `helpers.flags` fails."""

import pytest
from helpers.flags import adapters, data, report, runs, search
from helpers.flags.table import Table, arguments_of, check_row, check_together, flag_of, parsers

MODULES = (runs, report, data, adapters, search)
TABLES = [table for module in MODULES for table in vars(module).values() if isinstance(table, Table)]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Enter a folder with the files that the tables name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "captions.csv").touch()
    (tmp_path / "key.txt").write_text("0123456789abcdef\n", "utf-8")
    (tmp_path / "adapters").mkdir()
    for name, text in {
        "flags": "seed: 31\nroute: baseline1\n",
        "language": "language: fr\n",
        "profile": "profile: paper\n",
        "towers": "image_model: other/image\n",
    }.items():
        (tmp_path / f"{name}.yaml").write_text(text, "utf-8")


@pytest.mark.parametrize(
    ("table", "row"),
    [pytest.param(table, row, id=f"{table.command} {row[0]}") for table in TABLES for row in table.rows],
)
def test_each_flag_reaches_its_callee_with_its_value(table, row, files):
    check_row(table, row)


@pytest.mark.parametrize("table", [pytest.param(table, id=table.command) for table in TABLES if table.together])
def test_each_field_of_a_config_reaches_its_callee_with_its_value(table, files):
    check_together(table)


@pytest.mark.parametrize("command", parsers())
def test_each_flag_has_a_row(command):
    tables = [table for table in TABLES if table.command == command]
    tested = {flag_of(typed) for table in tables for typed, _, _ in [*table.rows, *table.together]}
    tested |= {flag for table in tables for flag in table.elsewhere}
    assert arguments_of(parsers()[command]) - tested == set()
