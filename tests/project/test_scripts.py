"""The scripts: help, profiles, where results go, the figures that they make, and the training of mini's heads."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from statistics import mean

import pytest
import torch
from helpers.documents import Shell, make_checkout
from helpers.layouts import make_flickr30k200, make_xtd10
from helpers.project import ROOT, copy_scripts, script
from safetensors import safe_open
from torch.nn import functional as F

from pecl.encoders.towers import PAIRS
from pecl.files.digests import with_digest
from pecl.results.result import read_result
from pecl.retrieval.hubs import REFERENCES, ROWS

STUDIES = {
    "few_shot": "few_shot",
    "full_data": "full_data",
    "ablation_adapters": "adapters",
    "disparity": "disparity",
}  # script -> its own folder of results


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a script of a copy of the project: (what it ran, exit status, standard output)."""
    copy_scripts(tmp_path, 'echo "$@" >> "$NOTES"')

    def start(script, *arguments, **variables):
        notes = tmp_path / "notes"
        notes.write_text("")
        environment = {"PATH": os.environ["PATH"], "NOTES": str(notes), **variables}
        command = ["bash", f"scripts/{script}.sh", *arguments]
        finished = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )
        return [line.removeprefix("-m pecl ") for line in notes.read_text().splitlines()], finished

    return start


def flag(line, name):
    """Return the value of a flag of a noted command, the last where it is given twice, as argparse takes it."""
    words = line.replace(f"--{name}=", f"--{name} ").split()
    return [words[i + 1] for i, word in enumerate(words) if word == f"--{name}"][-1]


@pytest.mark.parametrize("script", STUDIES)
@pytest.mark.parametrize(
    "out", [None, ["--out", "my/folder"], ["--out=my/folder"], ["--out", "a", "--out", "my/folder"]]
)
def test_a_script_reports_where_it_wrote(run, script, out):
    ran, finished = run(script, *(out or ()), "--lr", "1e-3")
    *grids, report = ran
    assert finished.returncode == 0
    assert grids
    assert report == f"report {'my/folder' if out else f'results/{STUDIES[script]}'}"
    assert {flag(grid, "out") for grid in grids} == {report.removeprefix("report ")}


@pytest.mark.parametrize("script", STUDIES)
def test_a_dry_run_reports_nothing(run, script):
    assert not [line for line in run(script, "--dry-run")[0] if line.startswith("report")]


@pytest.mark.parametrize("profile", ["mini", "paper"])
def test_every_language_has_a_script_that_distils_it(run, profile):
    languages = sorted(path.stem for path in (ROOT / "scripts" / "distil").iterdir())
    assert languages == ["cs", "de", "es", "fr", "it", "jp", "ko", "pl", "ru", "tr", "zh"]
    for language in languages:
        ran, finished = run(f"distil/{language}", "--device", "cuda", "--dry-run", PECL_PROFILE=profile)
        assert finished.returncode == 0
        words = profile == "mini" and language not in ("cs", "de", "fr")
        config = f"configs/distil_{'mini_words' if words else profile}.yaml"
        fixed = f"distil --config {config} --profile {profile} --language {language} --out results/distil"
        assert ran == [f"{fixed}{' --dataset xtd10' * words} --device cuda --dry-run"]


def test_finnish_has_a_grid_on_text_only(run):
    ran, finished = run("grid_method1/fi", "--dry-run", PECL_PROFILE="siglip2-b16")
    assert finished.returncode == 0
    fixed = "grid --config configs/grid_paper.yaml --profile siglip2-b16 --route method1 --language fi"
    test = "--out results/grid_method1 --dataset xtd200 --gallery english"
    train = "--image-weight 0 --anchor frozen --text flickr30k200 --overlap drop"  # the test set is never trained on
    assert ran == [f"{fixed} {test} {train} --dry-run"]


def test_the_papers_pair_is_planned_on_a_machine_without_its_weights(tmp_path, monkeypatch):
    """Of 200 pairs 2 are tested on, and a tenth of the others is held out; three passes over 179 in batches of 32."""
    data = make_flickr30k200(make_xtd10(tmp_path / "data", n=102), n=200)
    monkeypatch.setenv("PECL_DATA_DIR", str(data))
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    shell = Shell(tmp_path, shorten=False)
    checkout = make_checkout(tmp_path, shell)
    status, out, errors = shell.run("PECL_PROFILE=paper bash scripts/distil/ko.sh --dry-run", checkout, home=tmp_path)
    assert status == 0, errors
    planned = "ko: 179 pairs, 19 held out, 18 steps (closed-form+gradient+closed-form, lr 0.001), new"
    assert out.splitlines()[0] == planned
    assert not (checkout / "results").exists()


def test_a_distillation_is_reported_where_it_wrote_and_an_unknown_language_is_refused(run):
    ran, _ = run("distil", "cs", "--out", "mine")
    assert ran[-1] == "report mine"
    for language in ((), ("xx",)):
        ran, finished = run("distil", *language)
        assert (ran, finished.returncode) == ([], 2)
        assert "distil.sh: expected a language, one of de fr cs" in finished.stderr


def test_all_of_a_profile_go_into_one_folder_where_one_is_named(run):
    ran, _ = run("all", "--out", "my folder")
    assert ran[-1] == "report my folder"
    assert all(line.endswith("--out my folder") or line == "report my folder" for line in ran)
    ran, _ = run("all")
    grids = {flag(line, "out") for line in ran if not line.startswith("report")}
    assert set(ran[-1].split()[1:]) == grids


def test_photographs_are_indexed_and_the_page_is_opened(run, tmp_path):
    for name in ("pyproject.toml", "setup.py", "requirements.txt"):
        (tmp_path / name).touch()
    pictures = tmp_path / "my pictures"
    pictures.mkdir()
    used = [f"index {pictures} --thumbnails", f"serve --index {pictures} --port 0 --open --quiet --port 8080"]
    pip = "-m pip install --quiet --no-compile"
    cpu = f"{pip} --timeout 15 --retries 0 --index-url https://download.pytorch.org/whl/cpu torch torchvision"
    for install in (
        [cpu] * (sys.platform == "linux") + [f"{pip} -e .[search,serve]"],
        [],
    ):  # the second needs no network
        ran, finished = run("search", "my pictures", "--port", "8080")
        assert (finished.returncode, finished.stderr) == (0, "")
        assert [line for line in ran if "find_index" not in line] == [*install, *used]  # an index is there for the stub


SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.sh") if path.stem not in ("common", "help"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_the_comment_that_a_script_begins_with(run, script):
    lines = (ROOT / "scripts" / f"{script}.sh").read_text().splitlines()[1:]
    header = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    ran, finished = run(script, "--help")
    assert (ran, finished.returncode, finished.stderr) == ([], 0, "")
    assert run(script, "-h")[1].stdout == finished.stdout
    assert finished.stdout.splitlines() == [line.removeprefix("#").removeprefix(" ") for line in header]
    assert f"bash scripts/{script}.sh" in finished.stdout


def test_each_profile_is_known_to_the_scripts(run):
    for profile in PAIRS:
        (line,), finished = run("zero_shot", PECL_PROFILE=profile)
        assert (flag(line, "profile"), finished.returncode) == (profile, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "figure", "limit"),
    [("evaluator", "peak_mb", 1024), ("report", "peak_mb", 350), ("store", "beyond_imports_mb", 200)],
)
def test_large_inputs_take_little_memory(part, figure, limit):
    command = [sys.executable, "benchmarks/scale.py", part, "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert 0 < json.loads(done.stdout)[part][figure] < limit


FIGURES = json.loads((ROOT / "results" / "search_quality.json").read_text("utf-8"))
SEARCHED = ("en", "cs", "de", "fr")


def recall(words, way, language, k=10):
    (row,) = (
        row for row in FIGURES["lengths"] if (row["words"], row["way"], row["language"]) == (words, way, language)
    )
    return row[f"recall@{k}"]


def test_the_figures_are_of_the_shipped_reference_captions():
    with safe_open(REFERENCES / "mini.safetensors", "np") as file:
        metadata, references = file.metadata(), len(file.get_tensor(ROWS))
    shipped = {"references": references, "sharpness": float(metadata["sharpness"])}
    assert FIGURES["settings"] == {**shipped, "weight": float(metadata["weight"])}


def test_corrected_recall_of_whole_captions_is_not_below_plain_recall_and_surely_above_it_in_three_languages():
    rows = {(row["language"], row["method"]): row for row in FIGURES["hubs"]}
    for language in SEARCHED:
        plain, corrected = rows[language, "plain"], rows[language, "corrected"]
        assert corrected["recall@1"] >= plain["recall@1"]
        assert corrected["recall@10"] > plain["recall@10"]
    assert sum(row["low@1"] > 0 for (_, method), row in rows.items() if method == "corrected") >= 3


def test_the_shipped_setting_is_the_best_one_on_the_validation_photographs():
    best = next(row for row in FIGURES["tried"] if row["method"] == "corrected")
    assert {key: FIGURES["settings"][key] for key in ("sharpness", "weight")}.items() <= best.items()


@pytest.mark.parametrize("words", [1, 2, 3])
def test_adapters_do_not_lower_recall_of_short_queries_nor_does_a_language_that_is_detected(words):
    gains = [recall(words, "adapted", one) - recall(words, "plain", one) for one in SEARCHED[1:]]
    assert min(gains) >= 0
    assert mean(gains) > 0
    for way in ("detected", "detected of four"):
        lost = mean(recall(words, "corrected", one) - recall(words, way, one) for one in SEARCHED)
        assert lost <= 0.01, way


@pytest.mark.parametrize("words", [1, 2, 3])
@pytest.mark.parametrize("among", ["two", "four"])
def test_a_guess_among_the_languages_of_a_person_loses_at_most_a_two_hundredth(words, among):
    rows = json.loads((ROOT / "results" / "person_languages.json").read_text("utf-8"))["rows"]
    own = [row for row in rows if row["words"] == words]
    assert len(own) == 10
    assert mean(row["named"] - row[among] for row in own) <= 0.005


def test_a_foreign_word_in_a_query_loses_nothing_that_the_plain_tower_finds():
    rows = {(row["language"], row["way"]): row for row in FIGURES["foreign"]}
    for language in SEARCHED[1:]:
        assert rows[language, "plain"]["queries"] >= 100
        for way in ("adapted", "detected", "detected of four"):
            assert rows[language, way]["recall@10"] >= rows[language, "plain"]["recall@10"]


def test_a_query_in_a_hundred_thousand_photographs_takes_less_than_20_milliseconds():
    assert FIGURES["milliseconds"]["corrected search"] < 20


def test_short_queries_are_the_first_content_words(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from search_queries import short_queries

    assert short_queries(["A man with a red-striped hat.", "Of the"], "en", 2) == ["man red-striped", "Of the"]
    assert short_queries(["Muž v červeném kabátě jde přes most."], "cs", 3) == ["muž červeném kabátě"]


IMAGES, CAPTIONS, IMAGE_WIDTH, TEXT_WIDTH = 200, 3, 24, 16


@pytest.fixture(scope="module")
def heads():
    return script("train_mini_heads")


@pytest.fixture(scope="module")
def features(heads):
    """Both sides are linear maps of one hidden cause, far from standardised; captions of an image are scattered."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    cause = draw(IMAGES, 8)
    image_index = torch.arange(IMAGES).repeat(CAPTIONS)
    images = 5 * cause @ draw(8, IMAGE_WIDTH) + 30
    texts = 0.1 * (cause[image_index] @ draw(8, TEXT_WIDTH) + 0.2 * draw(IMAGES * CAPTIONS, TEXT_WIDTH)) - 1
    return heads.Features(images, texts, image_index)


@pytest.fixture(scope="module")
def settings(heads):
    return heads.Settings(dim=12, epochs=60, batch_size=64, lr=1e-2)


@pytest.fixture(scope="module")
def trained(heads, features, settings):
    """The layers of text and image."""
    return heads.train_heads(features, settings)


def test_a_planted_relation_is_found(trained, features):
    text, image = trained
    with torch.no_grad():
        similarity = F.normalize(image(features.images), dim=1) @ F.normalize(text(features.texts[:IMAGES]), dim=1).T
    assert (similarity.argmax(1) == torch.arange(IMAGES)).float().mean() > 0.8  # chance is .005


def test_same_seed_same_bits(trained, heads, features, settings):
    again, other = (
        heads.train_heads(features, chosen) for chosen in (settings, heads.Settings(**(vars(settings) | {"seed": 1})))
    )
    for layer, same, different in zip(trained, again, other, strict=True):
        assert torch.equal(layer.weight, same.weight)
        assert torch.equal(layer.bias, same.bias)
        assert not torch.equal(layer.weight, different.weight)


def test_embeddings_have_the_norm_that_is_promised(trained, heads, features):
    for layer, own in zip(trained, (features.texts, features.images), strict=True):
        with torch.no_grad():
            assert layer(own).norm(dim=1).mean().item() == pytest.approx(heads.NORM, rel=1e-4)


def test_folded_layer_computes_the_same(heads, features):
    layer = heads.Standardised(features.texts, 12, dropout=0.5).eval()
    assert torch.allclose(layer.folded()(features.texts), layer(features.texts), atol=1e-4)


def test_sources_are_concatenated_by_image(heads, features):
    """Two sources: the second's captions point at the second's images."""
    second = heads.Features(torch.ones(2, IMAGE_WIDTH), torch.ones(3, TEXT_WIDTH), torch.tensor([1, 0, 1]))
    both = heads.concatenate([features, second])
    assert both.image_index[-3:].tolist() == [IMAGES + 1, IMAGES, IMAGES + 1]
    assert torch.equal(both.images[both.image_index[-3:]], torch.ones(3, IMAGE_WIDTH))
    assert torch.equal(both.images[both.image_index[:-3]], features.images[features.image_index])


def test_scenes_of_the_script_are_not_the_data_sets(heads):
    from pecl.data.scenes import load_scenes

    source, data = heads.scenes_source(50), load_scenes("en", 50)
    assert not {source.images.fingerprint(i) for i in range(50)} & {data.images.fingerprint(i) for i in range(50)}
    assert source.image_index == (*range(50), *range(50))


def test_a_result_of_a_ready_adapter_replaces_the_older_ones_of_its_language(tmp_path):
    ready, measured = script("make_ready_adapters"), ROOT / "results" / "measured" / "languages"
    for path in measured.glob("sw-*.json"):
        older = json.loads(path.read_text()) | {"run_id": path.stem[-16:][::-1]}
        del older["sha256"]
        for name in ("older", "ts"):
            other = older | {"config": older["config"] | {"language": "ts" if name == "ts" else "sw"}}
            (tmp_path / f"{name}-{path.name}").write_text(json.dumps(with_digest(other)))
        newer = read_result(path)
        ready.keep_result(newer, tmp_path)
        ready.remove_older([newer], tmp_path)
        assert sorted(one.name for one in tmp_path.glob("*.json")) == [path.name, f"ts-{path.name}"]
        assert json.loads((tmp_path / path.name).read_text()) == json.loads(path.read_text())


def test_the_recipe_of_ready_adapters_is_one_for_all_languages_with_captions():
    ready = script("make_ready_adapters")
    swahili, czech, chamorro = (ready.recipe(code, "results/languages").to_record() for code in ("sw", "cs", "ch"))
    assert {name: value for name, value in swahili.items() if czech[name] != value} == {"language": "sw"}
    assert {name for name, value in swahili.items() if chamorro[name] != value} == {"language", "dataset", "text"}
    for code, is_other in (("sw", False), ("cs", True)):  # only Czech has the set
        config = ready.recipe(code, "results/languages")
        other = replace(config, text=config.text.replace("multi30k-translations?", "multi30k-translations?@0.5"))
        assert (ready.training_of(config) != ready.training_of(other)) == is_other
