"""Plug-ins: named on the command line, recorded by content, run by workers too, not run by files that name one."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from helpers.folders import flags
from helpers.project import ROOT
from helpers.registries import forget_plugins

import pecl
from pecl.cli import main
from pecl.config import LOSSES, make_config, plugins
from pecl.data.registry import DATASETS
from pecl.errors import ConfigError
from pecl.experiment.run import train
from pecl.files import sha256_file, sha256_json
from pecl.grid import run_grid
from pecl.grid.launchers import make_launcher
from pecl.language.languages import language_code
from pecl.results.result import collect

GRAM = """
import pecl

@pecl.register_loss("gram")
def gram(query, anchor, images=None):
    return {factor} * (query @ query.T - anchor @ anchor.T).square().mean()
"""


@pytest.fixture
def gram(registries, tmp_path, monkeypatch):
    """Return a plug-in's file in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my.py"
    path.write_text(GRAM.format(factor=1.0))
    return path


def test_a_loss_of_a_file_is_trained_with_and_recorded_by_its_content(small, gram, capsys):
    arguments = ["train", *flags({**small, "alignment": "mse+gram"}), "--plugin", "my.py", "--json"]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["config"]["plugin"] == "my.py"
    assert result["data"]["files"]["plugin"] == sha256_file(gram)
    assert main(["report", small["out"]]) == 0  # needs no plug-in


def test_a_complete_result_whose_plugin_changed_is_made_again(small, gram, caplog):
    arguments = ["train", *flags({**small, "alignment": "gram"}), "--plugin", str(gram)]
    assert main(arguments) == 0
    (first,) = collect([small["out"]])
    forget_plugins()
    assert main(arguments) == 0  # complete
    assert collect([small["out"]]) == [first]
    forget_plugins()
    gram.write_text(GRAM.format(factor=100.0))
    assert main(arguments) == 0
    assert "was made with another file of plugin; running it again" in caplog.text
    (again,) = collect([small["out"]])
    assert again.run_id == first.run_id
    assert again.curve.loss[0][1] > first.curve.loss[0][1] + 0.01
    assert again.data.files["plugin"] == sha256_file(gram) != first.data.files["plugin"]


def test_a_config_file_that_names_one_does_not_run_it(small, gram, capsys):
    """A config may come from anywhere: code runs where the command line names it."""
    gram.write_text("raise SystemExit('it ran')")
    Path("config.yaml").write_text(yaml.safe_dump({**small, "plugin": "my.py"}))
    assert main(["train", "--config", "config.yaml"]) == 2
    assert "plugin: my.py is code, which a config does not run: expected --plugin my.py" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="which a config does not run"):
        train({**small, "plugin": "my.py"})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import pecl\npecl.nothing\n", r"plugin: my\.py, line 2: AttributeError: module 'pecl' has no attribute"),
        ("def f(:\n", r"plugin: my\.py, line 1: SyntaxError"),
        ("import pecl\npecl.register_loss('mse')(lambda q, a, i: 0)\n", r'line 2: .*"mse" is built in'),
        (None, r"plugin: cannot read my\.py: No such file or directory; expected a Python file"),
    ],
)
def test_one_that_fails_is_one_sentence(gram, capsys, source, message):
    gram.unlink() if source is None else gram.write_text(source)
    with pytest.raises(ConfigError, match=message):
        pecl.load_plugin("my.py")
    assert main(["doctor", "--plugin", "my.py"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_home_that_nobody_has_is_one_sentence(capsys):
    assert main(["doctor", "--plugin", "~nobody-has-this/my.py"]) == 2
    assert "plugin: cannot read ~nobody-has-this/my.py" in capsys.readouterr().err


def test_one_that_fails_leaves_nothing_registered_and_can_be_run_again(gram):
    gram.with_name("other.py").write_text("import pecl\npecl.register_language('tlh', 'Klingon')\n")
    good = GRAM.format(factor=1.0)
    gram.write_text(
        f"""{good}
pecl.load_plugin("other.py")
pecl.register_language("de", "German", aliases=["Teutsch"])
pecl.register_dataset("birds", len)
pecl.register_loss("old", replace=True)(lambda query, anchor, images: 2)
raise ValueError('late')
"""
    )
    pecl.register_loss("old")(old := lambda query, anchor, images: 1)
    with pytest.raises(ConfigError, match="line 12: ValueError: late"):
        pecl.load_plugin("my.py")
    assert LOSSES["old"] is old
    assert "birds" not in DATASETS
    for name in ("Klingon", "Teutsch"):
        with pytest.raises(ConfigError, match="unknown language"):
            language_code(name)
    gram.write_text(good + "pecl.load_plugin('other.py')\n")
    pecl.load_plugin("my.py")
    assert ("gram" in LOSSES, language_code("Klingon")) == (True, "tlh")


def test_several_are_joined_by_commas(gram):
    other = gram.with_name("other.py")
    other.write_text("import pecl\npecl.register_language('nl', 'Dutch')\n")
    plugins.load_plugins("my.py,other.py")
    assert pecl.make_config({"language": "Dutch", "dataset": "flickr30k200", "alignment": "gram"}).language == "nl"
    hashes = [sha256_file(gram), sha256_file(other)]
    assert plugins.fingerprint("my.py,other.py") == sha256_json(hashes)


def test_workers_of_a_grid_run_it_too(small, gram):
    """The worker is a process of its own, in which tiny towers are a plug-in as well."""
    gram.write_text(TINY + GRAM.format(factor=1.0))
    plugins.load_plugins("my.py")
    config = make_config({**small, "alignment": "gram", "plugin": "my.py"})
    (result,) = run_grid([config], launcher=make_launcher("process", 2)).results
    assert result.status == "complete"
    assert result.config.plugin == "my.py"
    assert result.data.files["plugin"] == sha256_file(gram)


TINY = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests")!r})
from helpers.small_experiment import use_towers
use_towers()
"""


@pytest.fixture
def package(tmp_path):
    """A folder with an installed package, whose entry point is `dutch-loss`."""
    site = tmp_path / "site"
    (site / "dutch").mkdir(parents=True)
    (site / "dutch" / "__init__.py").write_text("from dutch import loss\n")
    (site / "dutch" / "loss.py").write_text(GRAM.format(factor=1.0))
    info = site / "dutch-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dutch\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pecl.plugins]\ndutch-loss = dutch\n")
    return site


def test_an_installed_one_is_named_by_its_entry_point(small, registries, package, monkeypatch):
    monkeypatch.syspath_prepend(str(package))
    with pytest.raises(ConfigError, match='name of an installed plug-in, such as dutch-loss, got "dutch-los"'):
        pecl.load_plugin("dutch-los")
    result = train({**small, "alignment": "mse"})
    assert result.data.files is None  # what is installed and not named is not run
    assert "gram" not in LOSSES
    sound = (package / "dutch" / "__init__.py").read_text()
    (package / "dutch" / "__init__.py").write_text("from dutch import loss\n1 / 0")
    with pytest.raises(ConfigError, match=r"plugin: dutch-loss, the module dutch: .*ZeroDivisionError"):
        pecl.load_plugin("dutch-loss")
    (package / "dutch" / "__init__.py").write_text(sound)
    sha256 = pecl.load_plugin("dutch-loss")
    assert "gram" in LOSSES
    files = {name: sha256_file(package / "dutch" / name) for name in ("__init__.py", "loss.py")}
    assert sha256 == sha256_json(files)
    result = train({**small, "alignment": "gram", "plugin": "dutch-loss"})
    assert result.data.files["plugin"] == sha256
    for name in ("dutch", "dutch.loss"):
        del sys.modules[name]


def test_every_command_and_action_takes_one(capsys):
    from pecl.cli import build_parser

    def parsers(parser):
        yield parser
        for action in parser._subparsers._group_actions if parser._subparsers else ():
            for inner in action.choices.values():
                yield from parsers(inner)

    without = [parser.prog for parser in parsers(build_parser()) if "--plugin" not in parser.format_help()]
    assert without == []
