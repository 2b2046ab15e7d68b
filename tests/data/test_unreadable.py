"""Images that are missing or cannot be read are named all at once, or left out with their captions."""

from helpers.small_experiment import PAIRS

from pecl.cli import main
from pecl.config import make_config
from pecl.experiment.evaluation import evaluate
from pecl.experiment.run import train


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def files_below(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_all_unreadable_images_are_told_at_once_and_nothing_is_written(small, tmp_path, capsys):
    for i in range(3, 15):
        cut(tmp_path / f"{i}.png")
    (tmp_path / "20.png").write_text("no image")
    before = files_below(tmp_path)
    assert main(["train", *(f"--{name.replace('_', '-')}={value}" for name, value in small.items())]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"13 of {PAIRS} images cannot be read (3.png, 4.png, " in message
    assert "12.png, ...; " in message
    assert f"--skip-unreadable to go on with the other {PAIRS - 13}" in message
    assert files_below(tmp_path) == before


def test_skipped_images_leave_before_the_split_and_stand_in_the_result(small, tmp_path):
    cut(tmp_path / "3.png")
    (tmp_path / "5.png").unlink()
    whole = evaluate(make_config({**small, "gallery": "english", "image_weight": 0}))
    result = train(make_config({**small, "skip_unreadable": True}))
    assert result.data.provenance["images"] == {"total": PAIRS, "kept": PAIRS - 2, "left_out": 2, "damaged": 1}
    assert result.data.captions == PAIRS - 2
    assert result.data.split == {"train": 6, "val": 6, "test": PAIRS - 2 - 12}
    assert result.data.gallery.size == PAIRS - 2 - 12
    assert result.data.sha256["english"] != whole.data.sha256["english"]
    # the same as if the table had never named them
    lines = (tmp_path / "captions.csv").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "captions.csv").write_text("".join(x for x in lines if not x.startswith(("3.png", "5.png"))), "utf-8")
    single = train(make_config({**small, "out": str(tmp_path / "alone")}))
    assert single.metrics == result.metrics
    assert single.curve == result.curve
    assert result.config.skip_unreadable is True
