"""Everything that computes, with the towers on another device than the CPU: `fake:0`, and a GPU where there is one."""

from dataclasses import replace

import pytest
import torch
from helpers.adapter_towers import TEXTS, states
from helpers.checkpoints import write_clip, write_siglip
from helpers.devices import LAYOUTS, close, run_of, same_results, trained
from helpers.tiny import tiny_tower
from PIL import Image

from pecl.adapters.adapter import attach
from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.files import load_adapter_file, save_adapter
from pecl.adapters.merge import merge_slot
from pecl.adapters.spec import KINDS, parse_adapter
from pecl.config import LOSSES, make_config
from pecl.encoders.batches import MAX_PADDING, batches
from pecl.encoders.embeddings import Embeddings, TokenStore
from pecl.encoders.loading.image import load_image_checkpoint
from pecl.encoders.memory import to_device
from pecl.experiment.evaluation import evaluate
from pecl.experiment.run import train
from pecl.training.losses import BANK, Objective, RouteLoss
from pecl.training.slot_run import Rows

ARCHITECTURES = ("xlm-roberta", "bert")
# What each kind needs next to its name: sizes that fit the tiny tower, and something to train.
_NEEDED = {"compacter": "compacter:reduction_factor=4", "pooler": "lora+pooler"}
SPECS = [_NEEDED.get(kind, kind) for kind in KINDS]
ANCHORS = ("student", "frozen", "none")
MIXED = [i * 7 % 3 for i in range(len(TEXTS))]


# The device itself: were it to let everything pass, so would all tests below.


def test_tensors_of_two_devices_do_not_mix(fake_device):
    here, there = torch.arange(3.0), torch.arange(3.0).to(fake_device.device)
    mixed = [
        lambda: there + here,
        lambda: here[there.long()],
        lambda: there.index_put((here.long(),), here),
        lambda: torch.nn.functional.embedding(here.long(), there.view(3, 1)),
    ]
    for operation in mixed:
        with pytest.raises(RuntimeError, match="found at least two devices, fake:0 and cpu"):
            operation()
    assert (there + torch.tensor(1.0)).tolist() == [1.0, 2.0, 3.0]  # a number
    assert there[here.long()].tolist() == [0.0, 1.0, 2.0]  # the index is copied
    with pytest.raises(TypeError, match="to numpy"):
        there.numpy()


def test_what_waits_for_the_device_is_noted(fake_device):
    x = torch.arange(4.0).to(fake_device.device)
    waiting = {
        "a number": lambda: x.sum().item(),
        "to the CPU": x.cpu,
        "into the CPU": lambda: torch.zeros(4).copy_(x),
        "places": x.nonzero,
        "a mask": lambda: x[x > 1],
        "an index that is copied": lambda: x[torch.tensor([1])],
        "a new tensor": lambda: torch.tensor([1, 2], device=fake_device.device),
        "to the device": lambda: torch.ones(2).to(fake_device.device),
    }
    for name, operation in waiting.items():
        with fake_device.counted() as waits:
            operation()
        assert len(waits) == 1, name
    with fake_device.counted() as waits:
        (x * 2 + torch.ones_like(x)).sum()
        torch.ones(2).to(fake_device.device, non_blocking=True)
        x[:2] = 3
        assert x[1:3].shape == (2,)
        to_device(torch.ones(2), fake_device.device)
        to_device(x, fake_device.device)
    assert waits == []


# Training


def two_steps_as_on_the_cpu(fake_device, *arguments, change=lambda device: lambda run: run, **options):
    """Take two steps on both devices, and check that none on the fake one waits."""
    run, reference = (
        run_of(device, *arguments, change=change(device), **options) for device in (fake_device.device, "cpu")
    )
    for _ in range(2):
        with fake_device.counted() as waits:
            losses = run.train_step()
        assert waits == []
        assert losses.device == fake_device.device
        close(losses.cpu(), reference.train_step())
    assert {parameter.device for parameter in run.adapter.parameters()} == {fake_device.device}
    for found, expected in zip(run.optimizer.exp_avg, reference.optimizer.exp_avg, strict=True):
        close(found.cpu(), expected)  # gradients; Adam makes whole steps of those that are zero but for rounding


@pytest.mark.parametrize("spec", SPECS)
def test_every_adapter_trains_as_on_the_cpu_and_no_step_waits(fake_device, spec):
    two_steps_as_on_the_cpu(fake_device, "xlm-roberta", "a fleet", spec=spec)


@pytest.mark.parametrize(("layout", "anchor"), [*zip(LAYOUTS, ANCHORS, strict=True)])
def test_every_anchor_and_layout_trains_as_on_the_cpu_and_no_step_waits(fake_device, anchor, layout):
    two_steps_as_on_the_cpu(fake_device, "bert", layout, anchor, dropout=True)


@pytest.mark.parametrize("name", list(LOSSES))
def test_every_alignment_trains_as_on_the_cpu_and_no_step_waits(fake_device, name):
    def change(device):
        bank = torch.randn(6, 8, generator=torch.Generator().manual_seed(5)).to(device)
        return lambda run: replace(run, loss=RouteLoss(Objective((name,), 0.5)), memory={BANK: bank})

    two_steps_as_on_the_cpu(fake_device, anchor="frozen", layout="a fleet", change=change)


@pytest.mark.parametrize("anchor", ["student", "frozen"])
def test_pairs_in_files_train_as_on_the_cpu_and_no_step_waits(fake_device, tmp_path, anchor):
    def stored(run):
        texts = {name: TokenStore.write(tmp_path / name, texts) for name, texts in run.pairs.texts.items()}
        embeddings = {name: Embeddings.write(tmp_path / name, [rows]) for name, rows in run.pairs.embeddings.items()}
        return replace(run, pairs=Rows(texts, embeddings))

    two_steps_as_on_the_cpu(fake_device, anchor=anchor, change=lambda device: stored)


@pytest.mark.parametrize("schedule", [{}, {"ema": 0.5, "warmup": 2}])
def test_losses_are_read_at_validations_alone(fake_device, schedule):
    run, reference = (run_of(one, layout="a fleet", schedule=schedule) for one in (fake_device.device, "cpu"))
    with fake_device.counted() as waits:
        losses, states_there = trained(run)
    expected, states_here = trained(reference)
    assert [step for step, _ in losses[0]] == [2, 3]
    close(torch.tensor(losses), torch.tensor(expected))
    close(states_there, states_here)
    assert len([wait for wait in waits if "trainer.py" in wait]) == 2
    assert not [wait for wait in waits if "optimizer.py" in wait]


def test_a_training_is_saved_and_goes_on_there_or_on_the_cpu(fake_device, tmp_path):
    expected = trained(run_of("cpu", layout="a fleet"))
    for device in (fake_device.device, "cpu"):
        state = tmp_path / str(device)
        first = run_of(fake_device.device, layout="a fleet", state_path=state)
        first._recent += first.train_step()
        first._recent_steps += 1
        first._save()
        losses, states_found = trained(run_of(device, layout="a fleet", state_path=state))
        close(torch.tensor(losses), torch.tensor(expected[0]))
        close(states_found, expected[1])


# Whole experiments


@pytest.fixture
def on_both(fake_device, towers_on, tmp_path):
    """Return a function that calls another with the towers on each device, given a folder for results."""

    def both(act, architecture="xlm-roberta"):
        for device in (fake_device.device, "cpu"):
            towers_on(device, architecture)
            yield act(str(tmp_path / str(device)))

    return both


@pytest.mark.parametrize(
    "values",
    [
        {"route": "baseline2"},
        {"route": "method1", "anchor": "student"},
        {"alignment": "match", "anchor": "frozen"},
        {"solver": "closed-form+gradient+closed-form", "adapter": "lora+head", "anchor": "frozen"},
        {"choose": "text", "anchor": "frozen"},
        {"gallery": "english", "image_weight": 0.0},
    ],
    ids=lambda values: "-".join(map(str, values.values())),
)
def test_every_way_to_learn_gives_what_it_gives_on_the_cpu(small, on_both, values):
    same_results(*on_both(lambda out: train(make_config({**small, "epochs": 1, **values, "out": out}))))


def test_evaluation_of_an_adapter_file_gives_what_it_gives_on_the_cpu(small, towers_on, on_both):
    towers_on("cpu", "bert")
    weights = str(train(make_config({**small, "epochs": 1, "route": "baseline1"})).adapter_path)
    values = {"dataset": small["dataset"], "language": "de", "weights": weights}
    same_results(*on_both(lambda out: evaluate(make_config({**values, "out": out})), "bert"))


# Encoding


@pytest.mark.parametrize("spec", ["lora", "prefix", "word_embeddings", "full"])
def test_a_mixed_batch_of_the_bank_is_that_of_the_cpu(fake_device, spec):
    banks = []
    for device in (fake_device.device, "cpu"):
        tower = tiny_tower("bert")
        of_languages = states(tower, spec)
        bank = AdapterBank(tower.to(device), spec)
        for language, state in zip(("de", "xx", "cs", "fr"), [*of_languages[:1] * 2, *of_languages[1:]], strict=True):
            bank.add(language, state)
        bank.remove("xx")
        banks.append(bank)
    languages = [("de", "cs", "fr")[slot] for slot in MIXED]
    with fake_device.counted() as waits:
        found = banks[0].encode_text(TEXTS, languages)
    close(found, banks[1].encode_text(TEXTS, languages))
    one = banks[1].single()
    tower, max_padding = one.tower, 1.0 if one.adapter.works_on_tokens else MAX_PADDING
    passes = batches(tower.tokenize(TEXTS), 64, tower.tokenizer.pad_token_id, max_padding)
    assert len(waits) == len(list(passes))  # copies of embeddings


def test_adapter_files_and_merged_towers_are_those_of_the_cpu(fake_device, tmp_path):
    paths = []
    for device in (fake_device.device, "cpu"):
        tower = tiny_tower().to(device)
        adapter = attach(tower, parse_adapter("lora+layernorm"), seeds=[3, 4])
        for parameter in adapter.parameters():
            parameter.data += 0.1
        path = save_adapter(tmp_path / f"{device}", adapter.slot_state(1), adapter.configs, "de", tower)
        expected = tower.encode_text(TEXTS, slots=torch.ones(len(TEXTS), dtype=torch.long))
        adapter.remove()
        file = load_adapter_file(path, tower)
        loaded = attach(tower, file.configs)
        loaded.load_slot_state(0, file.state)
        close(tower.encode_text(TEXTS), expected)
        merged = merge_slot(loaded, 0)
        assert merged.device == tower.device
        close(merged.encode_text(TEXTS), expected)
        paths.append(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("write", [write_clip, write_siglip])
def test_the_image_tower_gives_what_it_gives_on_the_cpu(fake_device, tmp_path, write):
    write(tmp_path)
    images = [Image.new("RGB", (40, 30 + i), (60 * i, 90, 20)) for i in range(4)]
    tower = load_image_checkpoint(tmp_path)
    expected, fingerprint = tower.encode_image(images), tower.fingerprint
    there = load_image_checkpoint(tmp_path, device=fake_device.device)
    assert there.device == fake_device.device
    close(there.encode_image(images, batch_size=3), expected)
    assert there.fingerprint == fingerprint


# A GPU, where there is one


@pytest.mark.gpu
@pytest.mark.parametrize(("spec", "layout"), [(s, "a fleet") for s in SPECS] + [("lora", name) for name in LAYOUTS])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_gpu_trains_as_the_cpu_and_no_step_waits(architecture, spec, layout):
    run, reference = (run_of(device, architecture, layout, spec=spec) for device in ("cuda", "cpu"))
    for _ in range(run.total_steps):
        torch.cuda.set_sync_debug_mode("error")
        try:
            losses = run.train_step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        torch.testing.assert_close(losses.cpu(), reference.train_step(), rtol=1e-4, atol=1e-4)
