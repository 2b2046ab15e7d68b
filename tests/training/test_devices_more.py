"""On the fake device: losses, schedules, solvers, precision and files that `test_devices` leaves out, and bulk work."""

from dataclasses import replace

import pytest
import torch
from helpers.checkpoints import write_siglip
from helpers.devices import close, run_of, same_results, trained
from helpers.small_experiment import tiny_towers
from helpers.tiny import sentences
from PIL import Image

import pecl
from pecl.config import ALIGNMENTS, make_config
from pecl.encoders.embeddings import Embeddings
from pecl.encoders.loading.image import load_image_checkpoint
from pecl.encoders.token_store import TokenStore
from pecl.experiment.run import train
from pecl.training.losses import AlignmentObjective


def step_as_on_the_cpu(fake_device, **options):
    """Take two steps on both devices, and check that none on the fake one waits."""
    change = options.pop("change", lambda device: lambda task: task)
    run, reference = (run_of(device, change=change(device), **options) for device in (fake_device.device, "cpu"))
    for _ in range(2):
        with fake_device.counted() as waits:
            losses = run.train_step()
        assert waits == []
        close(losses.cpu(), reference.train_step())
    for found, expected in zip(run.optimizer.exp_avg, reference.optimizer.exp_avg, strict=True):
        close(found.cpu(), expected)


@pytest.mark.parametrize("name", list(ALIGNMENTS))
def test_every_alignment_trains_as_on_the_cpu_and_no_step_waits(fake_device, name):
    def change(device):
        bank = torch.randn(6, 8, generator=torch.Generator().manual_seed(5)).to(device)
        return lambda task: replace(task, objective=AlignmentObjective((name,), 0.5, bank=bank))

    step_as_on_the_cpu(fake_device, anchor="frozen", layout="a fleet", change=change)


@pytest.mark.parametrize("anchor", ["student", "frozen"])
def test_pairs_in_files_train_as_on_the_cpu_and_no_step_waits(fake_device, tmp_path, anchor):
    def stored(task):
        files = {"query": TokenStore.write(tmp_path / "query", task.query)}
        files["images"] = Embeddings.write(tmp_path / "images", [task.images])
        if anchor == "student":
            files["anchor"] = TokenStore.write(tmp_path / "anchor", task.anchor)
        else:
            files["anchor"] = Embeddings.write(tmp_path / "anchor", [task.anchor])
        return replace(task, **files)

    step_as_on_the_cpu(fake_device, anchor=anchor, change=lambda device: stored)


def test_an_average_and_a_warm_up_train_as_on_the_cpu_and_no_step_waits(fake_device, tmp_path):
    schedule = {"ema": 0.5, "warmup": 2}
    run = run_of(fake_device.device, layout="a fleet", schedule=schedule, state_path=tmp_path / "state", identity="x")
    with fake_device.counted() as waits:
        losses, states = trained(run)
    expected, expected_states = trained(run_of("cpu", layout="a fleet", schedule=schedule))
    close(torch.tensor(losses), torch.tensor(expected))
    close(states, expected_states)
    assert not [wait for wait in waits if "average.py" in wait]


def experiments(fake_device, towers_on, small, tmp_path, **values):
    """The results of one experiment on both devices."""
    found = []
    for device in (fake_device.device, "cpu"):
        towers_on(device)
        found.append(train(make_config({**small, "epochs": 1, **values, "out": str(tmp_path / str(device))})))
    return found


@pytest.mark.parametrize(
    "values",
    [
        {"alignment": "match", "anchor": "frozen"},
        {"solver": "closed-form+gradient+closed-form", "adapter": "lora+head", "anchor": "frozen"},
        {"choose": "text", "anchor": "frozen"},
        {"gallery": "english", "image_weight": 0.0},
    ],
    ids=lambda values: next(iter(values)),
)
def test_other_ways_to_learn_give_what_they_give_on_the_cpu(fake_device, small, towers_on, tmp_path, values):
    same_results(*experiments(fake_device, towers_on, small, tmp_path, **values))


def test_siglip_gives_what_it_gives_on_the_cpu(fake_device, tmp_path):
    write_siglip(tmp_path)
    images = [Image.new("RGB", (40, 30 + i), (60 * i, 90, 20)) for i in range(3)]
    expected = load_image_checkpoint(tmp_path).encode_image(images)
    close(load_image_checkpoint(tmp_path, device=fake_device.device).encode_image(images), expected)


def test_bulk_embedding_gives_what_it_gives_on_the_cpu(fake_device, monkeypatch, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(5):
        Image.new("RGB", (6, 6), (50 * i, 20, 200 - 40 * i)).save(folder / f"{i}.png")

    def there(**_):
        plain = tiny_towers()
        return pecl.encoders.towers.Towers(
            lambda: plain.text.to(fake_device.device), lambda: plain.image.to(fake_device.device)
        )

    monkeypatch.setattr("pecl.bulk.job.load_towers", there)
    texts = sentences(7)
    close(pecl.embed(texts, tmp_path / "texts", shards=2)[:], tiny_towers().text.encode_text(texts))
    close(pecl.embed(folder, tmp_path / "images")[:], tiny_towers().image.encode_image(sorted(folder.iterdir())))
