"""Distillation from end to end on tiny towers: only the closed form, the whole schedule, warnings, interruptions."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.folders import flags
from helpers.interrupted import interrupted_after
from helpers.layouts import write_lines
from helpers.small_experiment import DISTILLATION, HELD_OUT, TEXT_PAIRS, tiny_towers, write_text
from helpers.tiny import sentences
from safetensors.torch import load_file

import pecl
import pecl.encoders.towers
import pecl.experiment.distil
from pecl.adapters.adapter import attach
from pecl.adapters.formats.files import load_adapter_file
from pecl.cli import main
from pecl.config import DISTIL_DEFAULTS, SCHEDULE_FIELDS, WITH_IMAGES, make_config
from pecl.data.custom.sources import shuffled
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, DataError
from pecl.experiment.distil import distil_config
from pecl.experiment.frozen import embed_anchors, make_evaluator
from pecl.experiment.inputs import read_training
from pecl.experiment.loading import TrainingDataCache
from pecl.experiment.run import train_fleet
from pecl.results.parts import Measured
from pecl.results.result import collect, read_result


@pytest.fixture
def values(small, tmp_path):
    """Values of a small distillation, over the defaults of the command."""
    kept = {name: small[name] for name in ("dataset", "out")}
    return {**DISTILLATION, **kept, "text": write_text(tmp_path / "text.tsv")}


def distilled(values, **more):
    return pecl.distil(**{**values, **more})


def weights_of(result):
    return load_file(result.adapter_path)


def recall_of_file(result, part="test", load=tiny_towers):
    """Recall of the adapter file on a part of its run."""
    towers = load()
    inputs = read_training(result.config, towers)
    evaluator, tokens = make_evaluator(inputs, part), inputs.tokens(part)
    file = load_adapter_file(result.adapter_path, towers.text)
    attach(towers.text, file.configs).load_slot_state(0, file.state)
    return evaluator(towers.text.encode_token_ids(tokens)).mean_recall_at_1


def read_text(values):
    rows = [line.split("\t") for line in Path(values["text"]).read_text("utf-8").splitlines()[1:]]
    return [row[0] for row in rows], [row[1] for row in rows]


# --- only the closed form


def solved_by_hand(values, ridge):
    """Weight (D, d) and bias (D,) by least squares over the pairs that are not held out, and rows for the prior."""
    tower = tiny_towers().text
    english, german = read_text(values)
    training = shuffled(TEXT_PAIRS)[HELD_OUT:]
    batch = tower.pad(tower.tokenize([german[i] for i in training]), range(len(training)))
    with torch.no_grad():
        features = tower.pooled(batch.input_ids, batch.attention_mask).double()[batch.indices.argsort()]
    anchors = tower.encode_text([english[i] for i in training], normalize=False).double()
    prior, d = tower.head.weight.detach().double(), features.shape[1]
    strength = (ridge * features.var(dim=0, unbiased=False).mean() * len(training)).sqrt()
    left = torch.cat([features, torch.ones(len(training), 1, dtype=torch.float64)], 1)
    left = torch.cat([left, strength * torch.eye(d, d + 1, dtype=torch.float64)])
    solution = torch.linalg.lstsq(left, torch.cat([anchors, strength * prior.T])).solution
    return solution[:-1].T, solution[-1]


@pytest.mark.parametrize("adapter", ["head", "head:rank=8"])
def test_the_closed_form_alone_is_the_ridge_solution_of_the_text(values, adapter):
    result = distilled(values, solver="closed-form", adapter=adapter, choose="last")
    (solved,) = result.closed_form
    assert (solved.pairs, result.steps, result.data.split["train"]) == (48, 0, 48)
    weight, bias = solved_by_hand(values, solved.ridge)
    found, head = weights_of(result), tiny_towers().text.head
    if adapter != "head":  # rank 8 is all that a head to 8 numbers has
        changed = head.weight.detach() + found["head.up"] @ found["head.down"]
        found = {"head.weight": changed, "head.bias": head.bias.detach() + found["head.shift"]}
    torch.testing.assert_close(found["head.weight"].double(), weight, rtol=0, atol=1e-4)
    torch.testing.assert_close(found["head.bias"].double(), bias, rtol=0, atol=1e-4)


def test_a_tower_whose_head_has_no_bias_gets_none(values):
    def towers(*_):
        made = tiny_towers()
        text = made.text
        head = torch.nn.Linear(32, 8, bias=False)
        torch.manual_seed(4)
        torch.nn.init.normal_(head.weight, std=0.2)
        bare = MultilingualTextEncoder(text.backbone, text.tokenizer, head, name="bare", max_length=128)
        return pecl.encoders.towers.Towers(lambda: bare, lambda: made.image)

    for adapter in ("head", "head:rank=8"):
        result = distilled(values, solver="closed-form", adapter=adapter, choose="last", load=towers)
        assert "head.bias" not in weights_of(result)
        assert ("head.shift" in weights_of(result)) is (adapter != "head")  # a change of low rank brings a shift
        assert recall_of_file(result, load=towers) == result.recall()


def test_the_command_solves_joint_languages_as_one_and_refuses_one_of_them(values, tmp_path, capsys):
    del values["language"]
    joint = arguments({**values, "solver": "closed-form"}, "--joint", "de+fr")
    before = sorted(tmp_path.rglob("*"))
    assert main([*joint, "--language", "de"]) == 2
    assert "expected all languages of the joint training de+fr at once, got de" in capsys.readouterr().err
    assert main([*joint, "--dry-run"]) == 0
    german, french, total = capsys.readouterr().out.splitlines()
    assert (german[:14], french[:14]) == ("de: 48 pairs, ", "fr: 48 pairs, ")
    assert re.fullmatch(f"2 runs, 2 to train: {ESTIMATED_TIME}", total)
    assert sorted(tmp_path.rglob("*")) == before
    assert main([*joint, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["config"]["language"], one["closed_form"][0]["pairs"]) for one in found] == [("de", 96), ("fr", 96)]
    one, other = map(weights_of, collect([values["out"]]))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_one_call_distils_all_languages_of_a_joint_training(values):
    result = distilled(values, language="fr", joint="de+fr")
    assert result.config.language == "fr"
    german, french = sorted(collect([values["out"]]), key=lambda one: one.config.language)
    assert (german.status, french) == ("complete", result)
    assert all(torch.equal(tensor, weights_of(german)[name]) for name, tensor in weights_of(french).items())


def test_joint_languages_of_different_numbers_of_pairs_are_refused_with_what_helps(values, tmp_path, capsys):
    del values["language"]
    table = Path(values["text"])
    table.write_text(table.read_text("utf-8") + "another\tein anderer\t\n", "utf-8")  # which French lacks
    before = sorted(tmp_path.rglob("*"))
    assert main(arguments(values, "--joint", "de+fr")) == 2
    assert "got 49 of de, 48 of fr: --train-size 48 takes so many of each" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
    assert main(arguments(values, "--joint", "de+fr", "--train-size", "48", "--dry-run")) == 0


# --- the whole schedule


def test_the_default_solves_trains_and_solves_again_and_scores_by_the_held_out_text_among_all_of_it(values):
    result = distilled(values)
    assert [found.pairs for found in result.closed_form] == [TEXT_PAIRS - HELD_OUT] * 2
    assert result.steps == 6
    # the start, solved, after 2, 4 and 6 steps, and solved again
    assert [step for step, _ in result.curve.val_mean_recall_at_1] == [0, 0, 2, 4, 6, 7]
    assert recall_of_file(result) == result.recall()
    assert result.data.split == {"train": 48, "val": 6, "test": 12}
    # the first score is that of the base encoder: the share of German captions that find their own English one first
    english, german = read_text(values)
    order, tower = shuffled(TEXT_PAIRS), tiny_towers().text
    queries = tower.encode_text([german[i] for i in order[:HELD_OUT]]).double()
    gallery = tower.encode_text([english[i] for i in order]).double()
    similarity = torch.cosine_similarity(queries[:, None], gallery[None], dim=-1)
    found = similarity.argmax(dim=1) == torch.arange(HELD_OUT)
    assert result.curve.val_mean_recall_at_1[0][1] == pytest.approx(float(found.double().mean()))


def test_killed_in_any_step_it_ends_with_the_same_bits(values, tmp_path):
    values |= {"ema": 0.5, "dropout": True, "images": True}
    whole = distilled(values)
    for steps in (1, 4):
        again = {**values, "out": str(tmp_path / f"after-{steps}")}
        with interrupted_after(steps):
            distilled(again)
        resumed = distilled(again)
        assert resumed.curve == whole.curve
        assert [one.ridge for one in resumed.closed_form] == [one.ridge for one in whole.closed_form]
        one, other = weights_of(whole), weights_of(resumed)
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("choose", ["validation", "text", "last"])
def test_weights_are_chosen_as_asked(values, choose):
    result = distilled(values, choose=choose, solver="gradient")
    scores = dict(result.curve.val_mean_recall_at_1)
    assert list(scores) == ([0, 2, 4, 6] if choose == "text" else [2, 4, 6, 8])  # nothing is held out but for text
    expected = 8 if choose == "last" else max(scores, key=lambda step: (scores[step], step))
    assert result.best_step == expected
    if choose != "text":
        assert scores[8] == result.recall("val", "final")


# --- photographs next to text


def test_photographs_of_the_training_part_are_learned_from_and_said(values, capsys):
    plain, seen = distilled(values), distilled(values, images=True)
    assert (plain.data.translations.photographs, seen.data.translations.photographs) == (None, 6)
    assert "photographs" not in plain.to_json()["data"]["translations"]
    assert seen.run_id == distilled(values, image_weight=WITH_IMAGES["image_weight"]).run_id != plain.run_id
    assert any(not torch.equal(weights_of(plain)[name], value) for name, value in weights_of(seen).items())
    assert recall_of_file(seen) == seen.recall()
    assert main(["report", values["out"], "--format", "json"]) == 0
    setups = {table["setup"] for table in json.loads(capsys.readouterr().out)["tables"]}
    trained, rest = f"trained on {values['text']}", ", clean, held out 12"
    assert setups == {trained + rest, f"{trained} and 6 photographs{rest}"}


# --- where it starts


def test_it_starts_from_the_weights_of_another_file(values, monkeypatch):
    first = distilled(values, choose="last")
    monkeypatch.setenv("HOME", values["out"])
    second = distilled(values, start=f"~/adapters/{first.adapter_path.name}", lr=0.0, solver="gradient", language="fr")
    one, other = weights_of(first), weights_of(second)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert second.curve.val_mean_recall_at_1[0] == (0, second.curve.val_mean_recall_at_1[-1][1])


def test_word_embeddings_of_a_start_give_way_to_the_languages_own_tokens(values):
    common = {"adapter": "word_embeddings:tokens=16,rank=2", "solver": "gradient", "choose": "last"}
    first = distilled(values, **common)
    start = {"start": str(first.adapter_path), "language": "fr", "lr": 0.0, **common}
    runs = first, distilled(values, **start), distilled(values, **{**start, "start": None, "seed": 2})
    tokens = [next(tensor for name, tensor in weights_of(run).items() if name.endswith("tokens")) for run in runs]
    assert torch.equal(tokens[1], tokens[2])
    assert not torch.equal(tokens[0], tokens[1])


def test_a_lexicon_of_the_training_pairs_is_a_start(values):
    common = {"adapter": "word_embeddings:tokens=16,rank=2", "solver": "gradient", "choose": "last", "lr": 0.0}
    plain, moved = (distilled(values, **common, start=start) for start in (None, "lexicon"))
    assert plain.recall() == plain.recall(stage="zero_shot")
    weights = weights_of(moved)
    assert all(tensor.count_nonzero() for tensor in weights.values())
    with pytest.raises(ConfigError, match="start: lexicon needs an adapter with word_embeddings, got lora"):
        distilled(values, start="lexicon", adapter="lora-only", solver="gradient")


# --- mixed captions


def test_mixed_captions_are_trained_behind_the_pairs_without_tested_and_held_out_ones(values, tmp_path):
    config = distil_config(values, TrainingDataCache())
    towers = tiny_towers()
    data, plain = TrainingDataCache()(config)
    tested = data.english[read_training(config, towers).parts["test"][0]]
    mixed = tmp_path / "captions.txt"
    mixed.write_text(f"{plain.train.english[0]} zebra\n\n{plain.held_out.english[0].upper()}\n{tested}!\n", "utf-8")
    inputs = read_training(replace(config, mixed=f"{mixed}@2"), towers)
    text = inputs.training_text
    assert [*text.pairs.target, *text.pairs.english] == [*plain.train.target, *plain.train.english]
    assert [*text.train.english][len(plain.train) :] == [f"{plain.train.english[0]} zebra"] * 2
    assert all(caption.endswith(" zebra") for caption in [*text.train.target][len(plain.train) :])
    assert text.train.provenance["mixed"]["captions"] == 2
    anchors = towers.text.encode_text([*text.train.english], normalize=False)
    torch.testing.assert_close(embed_anchors(inputs), anchors, rtol=1e-4, atol=1e-5)
    result = distilled(values, mixed=f"{mixed}@2")
    assert result.data.split["train"] == len(plain.train) + 2
    with pytest.raises(DataError, match="mixed: expected multi30k or a file with a caption per line, got "):
        distilled(values, mixed=values["text"])  # a table, whose lines are no captions


def test_word_embeddings_have_no_tokens_of_mixed_captions_alone(values, tmp_path):
    words = {"adapter": "word_embeddings:tokens=500,rank=2", "solver": "gradient", "choose": "last"}
    mixed = tmp_path / "captions.txt"
    mixed.write_text("0123456789 ~ ( ) = * % $ zebra\n", "utf-8")
    plain, with_mixed = weights_of(distilled(values, **words)), weights_of(distilled(values, **words, mixed=str(mixed)))
    name = next(name for name in plain if name.endswith("tokens"))
    assert torch.equal(plain[name], with_mixed[name])


# --- text that does harm


@pytest.fixture
def harmful(values, tmp_path):
    """Text of which what is held out is the same in both languages, and the rest is in disorder.

    The base encoder is perfect on the former, and on captions that are the same in both languages.
    """
    english = [f"{word} t{i}" for i, word in enumerate(sentences(TEXT_PAIRS, seed=40))]
    order, german = shuffled(TEXT_PAIRS), list(english)
    training = order[HELD_OUT:]
    for place, other in zip(training, training[::-1], strict=True):
        german[place] = english[other]
    table = tmp_path / "captions.csv"
    header, *lines = table.read_text("utf-8").splitlines()
    rows = [line.split(",") for line in lines]
    table.write_text("\n".join([header, *(",".join([*row[:2], row[1], *row[3:]]) for row in rows)]) + "\n", "utf-8")
    values["text"] = write_text(tmp_path / "harmful.tsv", list(zip(english, german, strict=True)))
    return {**values, "gallery": "english"}


@pytest.mark.parametrize("solver", ["closed-form", "closed-form+gradient+closed-form"])
def test_where_held_out_recall_falls_the_start_is_kept_and_said(harmful, caplog, solver):
    adapter = "head" if solver == "closed-form" else harmful["adapter"]
    result = distilled(harmful, solver=solver, adapter=adapter, lr=0.05)
    scores = [score for _, score in result.curve.val_mean_recall_at_1]
    assert scores[0] == 1.0 > max(scores[1:])
    (warning,) = [one for one in caplog.messages if "held-out" in one]
    assert warning.endswith(f"fell from 1.000 to at most {max(scores[1:]):.3f}: the initial weights are kept")
    assert result.best_step == 0
    assert result.recall("test", "best") == result.recall("test", "zero_shot") == 1.0
    assert recall_of_file(result) == 1.0
    assert solver != "closed-form" or result.recall("test", "final") < 1.0


def test_a_training_that_a_callback_stops_before_its_first_step_keeps_the_start(values, caplog):
    class Stop(pecl.Callback):
        def at_start(self, event):
            event.stop()

    result = distilled(values, solver="gradient", callbacks=[Stop()])
    assert [step for step, _ in result.curve.val_mean_recall_at_1] == [0]
    assert result.best_step == 0
    assert not [message for message in caplog.messages if "held-out" in message]


def test_where_recall_on_captions_falls_it_is_said(harmful, caplog):
    result = distilled(harmful, choose="last", lr=0.5, data_dir=harmful["out"])  # which has no sentences by people
    after = result.recall("val", "best")
    assert after < 1.0
    warnings = [message for message in caplog.messages if "beyond noise" in message]
    assert warnings[0] == (
        f"{result.name}: mean R@1 on the 6 validation captions fell from 1.000 to {after:.3f}, which is beyond noise: "
        "the training text is unlike captions: give it less weight, or add captions"
    )
    other = result.recall("other_text", "best")
    assert other < 1.0 == result.recall("other_text", "zero_shot")
    assert warnings[1] == (
        f"{result.name}: mean R@1 on the {result.data.other_text['texts']} English captions fell from 1.000 to "
        f"{other:.3f}, which is beyond noise: add text of that kind, such as sib200 or ntrex"
    )


@pytest.mark.parametrize(("dataset", "sentences_of_people"), [("sib200", 12), ("ntrex", 200)])
def test_other_text_is_sentences_by_people_where_they_are_at_hand(values, tmp_path, dataset, sentences_of_people):
    root = tmp_path / "data"
    if dataset == "sib200":
        for code in ("eng_Latn", "deu_Latn"):
            lines = ["index_id\tcategory\ttext", *(f"{i}\tx\t{code} t{i}" for i in range(12))]
            write_lines(root / "sib200" / "data" / "annotated" / code / "dev.tsv", lines)
    else:
        for code in ("src.eng", "ref.deu"):  # the last 200 of these lines are `dev`
            write_lines(root / f"ntrex/NTREX-128/newstest2019-{code}.txt", [f"{code} t{i}" for i in range(1497)])
    result = distilled(values, data_dir=str(root))
    assert (result.data.other_text["dataset"], result.data.other_text["texts"]) == (dataset, sentences_of_people)
    assert result.measured("other_text").directions["text_to_english"].queries == sentences_of_people
    assert read_result(result.path) == result


def test_a_fall_is_said_where_it_is_beyond_noise(values, caplog):
    result = distilled(values)
    for before, after, queries, is_said in (10, 6, 50, False), (20, 8, 50, True), (208, 190, 1000, False):
        of_stages = {"zero_shot": before / queries, "best": after / queries}
        directions = {"text_to_image": SimpleNamespace(queries=queries)}
        metrics = {stage: Measured(directions, share, share) for stage, share in of_stages.items()}
        caplog.clear()
        pecl.experiment.distil._warn(replace(result, metrics={**result.metrics, "val": metrics}))
        assert bool([message for message in caplog.messages if "unlike captions" in message]) == is_said


# --- the command


def arguments(values, *more):
    return ["distil", *flags(values), *more]


def test_the_command_gives_the_result_of_the_function(values, tmp_path, capsys):
    assert main(arguments(values, "--json")) == 0
    printed = json.loads(capsys.readouterr().out)
    result = distilled({**values, "out": str(tmp_path / "other")})
    assert printed["run_id"] == result.run_id
    assert printed["metrics"] == json.loads(json.dumps(result.to_json()))["metrics"]
    assert main(arguments(values)) == 0
    assert str(tmp_path / "results" / result.path.name) in capsys.readouterr().out
    assert main(arguments(values, "--dry-run")) == 0
    first, total = capsys.readouterr().out.splitlines()
    assert first.endswith(", complete")
    assert total == "1 run, 0 to train: about 0 s (nothing to do)"


ESTIMATED_TIME = (
    r"about \d+ (s|min) on two cores or \d+ s on a GPU \(an estimate, .* a run of these towers is complete\)"
)


def test_a_dry_run_needs_no_weights_of_the_papers_pair_and_writes_nothing(values, tmp_path, capsys, monkeypatch):
    def no_weights(*names, **options):
        raise AssertionError("this dry run loads no tower")

    for name in ("load_text_encoder", "load_image_encoder"):
        monkeypatch.setattr(pecl.encoders.towers, name, no_weights)
    before = sorted(tmp_path.rglob("*"))
    asked = {name: value for name, value in values.items() if name != "language"}
    paper = arguments(asked, "--language", "de,fr", "--profile", "paper", "--dry-run")
    assert main(paper) == 0
    planned = "48 pairs, 12 held out, 6 steps (closed-form+gradient+closed-form, lr 0.01), new"
    expected = f"de: {re.escape(planned)}\nfr: {re.escape(planned)}\n2 runs, 2 to train: {ESTIMATED_TIME}\n"
    assert re.fullmatch(expected, capsys.readouterr().out)
    assert main([*paper, "--json"]) == 0
    test = len(read_training(make_config({**DISTIL_DEFAULTS, **values}), tiny_towers()).parts["test"])
    # 48 pairs, English once and two closed forms; 6 steps of 16 pairs, forward and backward; validations and tests
    texts = 48 * 3 + 2 * 6 * values["batch_size"] + (2 + 6 // values["eval_every"]) * HELD_OUT + 2 * test
    for one in json.loads(capsys.readouterr().out):
        assert one["operations"] == 2 * 24 * 12 * 1024**2 * 25 * texts
    assert main([*paper, "--adapter", "lora:layers=top-25+head"]) == 2
    assert "layers: expected top-1 to top-24 in the text tower" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("pairs", "trained", "expected"),
    [
        (222, 200, ("gradient", 20, 2e-3)),
        (3332, 2999, ("gradient", 10, 4e-3)),
        (3333, 3000, ("closed-form+gradient+closed-form", 2, 3e-3)),
    ],
)
def test_how_long_it_trains_depends_on_the_number_of_pairs(values, pairs, trained, expected, capsys):
    """Of those that are trained on: a tenth is held out; what is given stays as it is."""
    values["text"] = write_text(Path(values["text"]), [(f"a dog {i}", f"ein Hund {i}") for i in range(pairs)])
    given = {name: value for name, value in values.items() if name not in (*SCHEDULE_FIELDS, "held_out")}
    config = distil_config(given, TrainingDataCache())
    assert (config.solver, config.epochs, config.lr) == expected
    assert distil_config({**given, "epochs": 7}, TrainingDataCache()) == replace(config, epochs=7)
    assert main(["distil", *flags(given), "--dry-run"]) == 0
    steps = expected[1] * math.ceil(trained / given["batch_size"])
    planned = (
        f"de: {trained:,} pairs, {pairs - trained} held out, {steps:,} steps ({expected[0]}, lr {expected[2]:g}), new"
    )
    assert re.fullmatch(f"{re.escape(planned)}\n1 run, 1 to train: {ESTIMATED_TIME}\n", capsys.readouterr().out)


def test_a_run_that_diverges_leaves_a_fleet_whose_heads_are_solved_again(values):
    configs = [make_config({**DISTIL_DEFAULTS, **values, "lr": lr}) for lr in (1e-2, 1e30)]
    good, failed = train_fleet(configs)
    assert (good.status, failed.status) == ("complete", "failed")
    assert len(good.closed_form) == 2
    assert all(torch.isfinite(weight).all() for weight in weights_of(good).values())
