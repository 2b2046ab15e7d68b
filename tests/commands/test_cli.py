import json
import logging
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from helpers.folders import flags
from helpers.project import ROOT
from helpers.report_results import train, unfinished

from pecl.cli import build_parser, main
from pecl.commands import COMMANDS
from pecl.commands.options import language_configs
from pecl.files.progress import Bar
from pecl.grid import GridOutcome


def test_train_prints_the_path_of_the_result_last_and_no_carriage_return_into_a_file(small, capfd):
    assert main(["train", *flags(small)]) == 0
    captured = capfd.readouterr()
    assert "\r" not in captured.out + captured.err
    assert "95 % interval" in captured.out
    assert json.loads(Path(captured.out.splitlines()[-1]).read_text())["status"] == "complete"
    assert main(["train", *flags({**small, "seed": 7}), "--quiet"]) == 0
    assert capfd.readouterr().err == ""


def test_flags_win_over_later_files_over_earlier_files(tmp_path):
    (tmp_path / "a.yaml").write_text("lr: 1e-3\nseed: 3\nepochs: 1\n")
    (tmp_path / "b.yaml").write_text("seed: 4\neval-every: 3\n")
    files = ["--config", str(tmp_path / "a.yaml"), "--config", str(tmp_path / "b.yaml")]
    (config,) = language_configs(build_parser(["train"]).parse_args(["train", *files, "--epochs", "2"]))
    assert (config.lr, config.seed, config.epochs, config.eval_every) == (1e-3, 4, 2, 3)


@pytest.mark.parametrize(
    ("text", "flags", "languages"),
    [
        ("joint: cs+fr\n", [], ["cs", "fr"]),
        ("joint: cs+fr\nlanguage: [cs, fr]\n", [], ["cs", "fr"]),
        ("solver: closed-form\nengine: opendelta\n", ["--engine", "pecl"], ["de"]),
        ("language: tlh\n", ["--dataset", "captions.csv"], ["tlh"]),
    ],
)
def test_a_file_may_be_valid_only_with_the_flags_and_languages_next_to_it(text, flags, languages, tmp_path):
    (tmp_path / "a.yaml").write_text(text)
    parsed = build_parser(["train"]).parse_args(["train", "--config", str(tmp_path / "a.yaml"), *flags])
    assert [config.language for config in language_configs(parsed)] == languages


@pytest.mark.parametrize("command", ["train", "grid"])
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lr: [1e-3, fast]\nanchr: frozen\n", "{}: lr: expected a number >= 0, got \"fast\"; unknown key 'anchr'"),
        ("shots: 0\n", '{}: shots: expected a whole number >= 1 or "all", got 0'),
        ("solver: closed-form\nengine: opendelta\n", "{} and command line: --engine: expected "),
    ],
)
def test_a_wrong_file_is_named(text, sentence, command, tmp_path, capsys):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    assert main([command, "--config", str(path), "--dry-run"]) == 2
    assert capsys.readouterr().err.startswith(f"pecl: {sentence.format(path)}")


def test_grid_trains_each_run_once_and_report_reads_the_files(small, capsys):
    arguments = ["grid", *flags({**small, "lr": "1e-2,1e-3", "epochs": 1, "seed": "1,2"})]
    assert main([*arguments, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("4 runs, 4 to train: time unknown until")
    assert not Path(small["out"]).exists()
    assert main([*arguments, "--fleet", "2"]) == 0
    first = capsys.readouterr().out
    stamps = {path: path.stat().st_mtime_ns for path in Path(small["out"]).rglob("*.*")}
    assert len([path for path in stamps if path.suffix == ".json" and path.parent == Path(small["out"])]) == 4
    assert main([*arguments, "--fleet", "2"]) == 0
    assert capsys.readouterr().out == first
    assert {path: path.stat().st_mtime_ns for path in Path(small["out"]).rglob("*.*")} == stamps
    assert main(["report", small["out"]]) == 0
    assert "chosen by validation" in capsys.readouterr().out


def help_of(capsys, *command):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_bare_pecl_prints_the_help(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert printed == help_of(capsys)
    assert "example: pecl " in printed
    assert all(command in printed for command in COMMANDS)


def test_the_list_of_commands_has_the_summary_that_each_has_itself():
    (group,) = build_parser()._subparsers._group_actions
    assert {action.dest: action.help for action in group._choices_actions} == COMMANDS


def test_the_list_of_commands_is_shown_without_importing_them():
    program = "import sys; from pecl.cli import main; main(['--help'])"
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "pecl.commands" in imported
    assert not imported & {"torch", "transformers", "numpy", "pydantic", "pecl.commands.train"}


def test_lists_need_no_torch():
    lists = [["data", "list"], ["languages"], ["towers", "list"]]
    code = f"import sys; from pecl.cli import main; [main(one) for one in {lists}]"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_doctor_says_how_to_get_what_is_absent(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("pecl.commands.doctor.version", absent)
    assert main(["doctor", "--data-dir", str(tmp_path), "--json"]) == 1  # what is needed is absent as well
    found = {one["what"]: one for one in json.loads(capsys.readouterr().out)}
    project = (ROOT / "pyproject.toml").read_text("utf-8").partition("[project.optional-dependencies]")[2]
    for extra in re.findall(r"^(\w+) = \[", project.partition("\n[")[0], re.MULTILINE):
        assert any(f"pip install -e '.[{extra}]'" in one["detail"] for one in found.values()), extra
    assert {found[name]["state"] for name in ("torch", "pandas", "multilingual-clip")} == {"missing"}
    assert "HEIC" in found["pillow-heif"]["detail"]


def absent(name):
    raise PackageNotFoundError(name)


def test_a_dry_run_says_language_and_rate_always_and_sums_up(capsys):
    assert main(["grid", "--language", "de,fr", "--dry-run", "--out", "nowhere"]) == 0
    first, second, total = capsys.readouterr().out.splitlines()
    assert first.split()[2:] == ["language=de", "lr=0.0001", "out=nowhere"]
    assert second.split()[2:] == ["language=fr", "lr=0.0001", "out=nowhere"]
    assert total.startswith("2 runs, 2 to train: time unknown")
    assert main(["evaluate", "--language", "en,de", "--dry-run"]) == 0
    english, german, total = capsys.readouterr().out.splitlines()
    assert [english.split()[1], german.split()[1], total] == ["language=en", "language=de", "2 evaluations"]
    for name, key in (("grid", "runs"), ("evaluate", None)):
        assert main([name, "--language", "en,de", "--dry-run", "--json", *(["--out", "nowhere"] if key else [])]) == 0
        document = json.loads(capsys.readouterr().out)
        listed = document[key] if key else document
        assert [run["config"]["language"] for run in listed] == ["en", "de"]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--dataset scenes --language cs --adapter there.safetensors", "adapter file there.safetensors is damaged"),
        ("--dataset scenes --language de,nl", "scenes has no captions in Dutch"),
        ("--dataset captions.csv --language fr", "captions.csv"),
        ("--dataset multi30k-1k --language cs --data-dir nowhere", "needs the folder nowhere/multi30k"),
    ],
)
def test_a_dry_run_of_an_evaluation_refuses_what_the_evaluation_would(flags, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("there.safetensors").write_bytes(b"no adapter")
    Path("captions.csv").write_text("image,en,cs\na.jpg,a dog,pes\n")
    said = []
    for more in ([], ["--dry-run"]):
        assert main(["evaluate", "--quiet", *flags.split(), *more]) == 2
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]
    assert sentence in said[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["captions.csv", "there.safetensors"]


@pytest.mark.parametrize("command", ["train", "distil", "evaluate"])
def test_an_empty_list_of_languages_is_refused(command, tmp_path, capsys):
    (tmp_path / "none.yaml").write_text("language: []\n")
    assert main([command, "--config", str(tmp_path / "none.yaml"), "--dry-run"]) == 2
    assert "language: got an empty list" in capsys.readouterr().err


def test_no_language_is_trained_if_another_cannot_be(tmp_path, capsys):
    assert main(["train", "--language", "de,nl", "--epochs", "1", "--out", str(tmp_path / "results")]) == 2
    assert "scenes has no captions in Dutch" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_no_language_is_measured_if_another_cannot_be(monkeypatch, capsys):
    monkeypatch.setattr("pecl.commands.evaluate.evaluate", lambda config: pytest.fail(f"measured {config.language}"))
    assert main(["evaluate", "--language", "de,nl"]) == 2
    assert "scenes has no captions in Dutch" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["--quiet languages cs", "languages cs -q"])
def test_quiet_turns_off_bars_and_remarks_before_or_after_the_command(line, capsys):
    assert main(line.split()) == 0
    with Bar(total=3, desc="counted", leave=True) as bar:
        bar.update()
    assert bar.disable
    assert not logging.getLogger("pecl").isEnabledFor(logging.INFO)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("line", ["--verbose languages cs", "languages cs -v"])
def test_verbose_logs_more(line):
    assert main(line.split()) == 0
    assert logging.getLogger("pecl").isEnabledFor(logging.DEBUG)


def test_a_training_with_a_failed_run_ends_with_status_1_and_names_it(monkeypatch, capsys):
    trained = train(4, 6)
    failed = unfinished(trained, run_id="f" * 16, error="DivergedError: by step 3")
    for outcomes, status in (([trained], 0), ([trained, failed], 1), ([failed], 1)):
        monkeypatch.setattr("pecl.commands.train.train_fleet", lambda *_, given=outcomes, **__: given)
        assert main(["train"]) == status
        printed = capsys.readouterr().out
        assert (f"failed: {failed.run_id}: DivergedError: by step 3" in printed) == bool(status)
        assert (trained.config.language in printed.split()) == (trained in outcomes)


def test_a_training_that_was_pruned_is_no_failure(monkeypatch, capsys):
    """A callback pruned it, and the command that resumes it records that."""
    pruned = unfinished(train(4, 6), "pruned", run_id="f" * 16, steps=40, validation_recall=0.51234)
    monkeypatch.setattr("pecl.commands.train.train_fleet", lambda *_, **__: [pruned])
    assert main(["train"]) == 0
    assert capsys.readouterr().out == f"pruned: {pruned.run_id}: after step 40, validation recall 0.512\n"


def test_a_grid_with_a_failed_run_ends_with_status_1_and_names_it(monkeypatch, capsys):
    trained = train(4, 6)
    failed = unfinished(trained, run_id="f" * 16, error="RuntimeError: out of memory")
    for results, status in (([trained], 0), ([trained, failed], 1)):
        monkeypatch.setattr("pecl.commands.grid.run_grid", lambda *_, given=results: GridOutcome(given))
        assert main(["grid"]) == status
        printed = capsys.readouterr()
        assert (f"{failed.run_id}: RuntimeError: out of memory" in printed.out + printed.err) == bool(status)
