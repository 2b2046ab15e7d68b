"""OpenDelta next to transformers 5: its import, what each delta computes and trains, and taking it off again."""

import importlib.util
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
from helpers.adapter_towers import tower_of
from helpers.folders import flags
from helpers.small_experiment import DISTILLATION, use_towers, write_text
from helpers.tiny import sentences, tiny_tower
from torch.nn import functional as F
from transformers import AttentionInterface

from pecl.adapters import engines
from pecl.adapters.adapter import attach
from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.opendelta import from_opendelta_state_dict, infer_configs
from pecl.adapters.opendelta import INSTALL_COMMAND, import_opendelta
from pecl.adapters.spec import parse_adapter
from pecl.cli import main
from pecl.config import make_config
from pecl.data.registry import load_dataset
from pecl.data.splits import few_shot_split
from pecl.errors import ConfigError
from pecl.experiment.distil import distil
from pecl.experiment.evaluation import evaluate
from pecl.experiment.run import train
from pecl.results.result import collect

if importlib.util.find_spec("opendelta") is None:
    pytest.skip(f"OpenDelta is not installed: {INSTALL_COMMAND}", allow_module_level=True)

SPECS = (
    *("lora:r=2", "bottleneck:bottleneck_dim=6", "compacter:reduction_factor=4", "soft_prompt:num_virtual_tokens=3"),
)
INPUT_IDS = torch.tensor([[0, 5, 6, 7, 9, 2], [0, 8, 12, 2, 1, 1], [0, 11, 3, 4, 2, 1]])  # (3, 6), padded with 1


def attach_opendelta(tower, spec, seed=1):
    return engines.attach("opendelta", tower, parse_adapter(spec), seeds=[seed])


def embed(tower):
    return tower(INPUT_IDS, (INPUT_IDS != 1).long())  # a new mask each time: OpenDelta's soft prompt writes into it


def randomise(adapter):
    """Move every trainable parameter away from its start, so that no term of a formula is zero."""
    generator = torch.Generator().manual_seed(5)
    for parameter in adapter.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)


class TestImport:
    def test_leaves_no_supplied_name_behind(self):
        import_opendelta()
        from transformers.models.distilbert import modeling_distilbert

        assert "transformers.deepspeed" not in sys.modules
        assert not hasattr(sys.modules.get("turtle"), "back")
        assert not hasattr(modeling_distilbert, "MultiHeadSelfAttention")
        assert not [path for path in sys.path if "opendelta" in path]


@pytest.mark.parametrize("spec", SPECS)
def test_seed_decides_whatever_the_mode_and_the_global_generator(spec):
    states = []
    for training, seed in [(False, 3), (True, 3), (False, 4)]:
        tower = tiny_tower().train(training)
        before = torch.get_rng_state()
        adapter = attach_opendelta(tower, spec, seed)
        assert torch.equal(torch.get_rng_state(), before)
        assert tower.backbone.training == training
        states.append(torch.cat([tensor.flatten() for tensor in adapter.slot_state(0).values()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize("spec", SPECS)
def test_state_restores_and_removal_gives_the_plain_tower_back(spec):
    tower = tiny_tower()
    plain, names = embed(tower), list(tower.state_dict())
    adapter = attach_opendelta(tower, spec)
    randomise(adapter)
    state, trained = adapter.slot_state(0), embed(tower)
    adapter.remove()
    assert torch.equal(embed(tower), plain)
    assert list(tower.state_dict()) == names
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    again = attach_opendelta(tower, spec)
    again.load_slot_state(0, state)  # under the same names as the first
    assert torch.equal(embed(tower), trained)


@pytest.mark.parametrize(
    ("spec", "seeds", "message"),
    [
        ("prefix", [1], "engine opendelta: expected one of lora, bottleneck, compacter, soft_prompt"),
        ("lora:layers=top-1", [1], "lora: expected layers=none, got top-1"),
        ("lora+layernorm:layers=top-1", [1], "expected layernorm as it is, got layernorm:layers=top-1"),
        ("lora", [1, 2], "fleet: expected 1 .* got 2"),
        ("compacter:reduction_factor=5", [1], "OpenDelta's compacter does not fit the backbone: .*out_features"),
    ],
)
def test_what_opendelta_cannot_do_is_said_and_the_tower_stays_plain(spec, seeds, message):
    tower = tiny_tower()
    plain = embed(tower)
    with pytest.raises(ConfigError, match=message):
        engines.attach("opendelta", tower, parse_adapter(spec), seeds=seeds)
    assert tower.adapter is None
    assert torch.equal(embed(tower), plain)


@pytest.mark.parametrize("engine", ["opendelta", "pecl"])
def test_a_tower_takes_one_adapter(engine):
    tower = tiny_tower()
    first = attach(tower, parse_adapter("head"))
    with pytest.raises(ConfigError, match="the text tower has an adapter already"):
        engines.attach(engine, tower, parse_adapter("lora"), seeds=[1])
    assert tower.adapter is first


@pytest.mark.parametrize("spec", SPECS)
class TestParity:
    """pecl's own modules against OpenDelta's, from the same initial values."""

    @staticmethod
    def both(spec):
        """Return a tower with OpenDelta's delta and an equal one with pecl's, and the two adapters."""
        theirs, ours = tiny_tower(), tiny_tower()
        reference = attach_opendelta(theirs, spec)
        kind, state = from_opendelta_state_dict(reference.slot_state(0))
        assert infer_configs(kind, state) == parse_adapter(spec)
        adapter = attach(ours, parse_adapter(spec))
        adapter.load_slot_state(0, state)
        return theirs, ours, reference, adapter

    def test_outputs(self, spec):
        theirs, ours, reference, adapter = self.both(spec)
        assert reference.num_parameters() == adapter.num_parameters()
        texts = sentences(7)
        for change in (lambda _: None, randomise):
            change(reference)
            adapter.load_slot_state(0, reference.file_state(reference.slot_state(0)))
            torch.testing.assert_close(embed(ours), embed(theirs), atol=1e-5, rtol=0)
            torch.testing.assert_close(ours.encode_text(texts, 3), theirs.encode_text(texts, 3), atol=1e-5, rtol=0)

    @pytest.mark.parametrize("training", [False, True], ids=["no-dropout", "dropout"])
    def test_loss_over_20_steps(self, spec, training):
        theirs, ours, reference, adapter = self.both(spec)
        goal = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
        losses = []
        for tower, parameters in ((theirs, reference.parameters()), (ours, adapter.parameters())):
            tower.packing = False  # OpenDelta's is not packed either: masks of dropout are equal for equal shapes only
            tower.train(training)
            optimiser = torch.optim.Adam(parameters, lr=1e-3)
            torch.manual_seed(9)  # the same dropout for both
            losses.append([])
            for _ in range(21):
                loss = F.mse_loss(embed(tower), goal)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses[-1].append(loss.item())
        assert losses[1] == pytest.approx(losses[0], abs=1e-4)
        assert training or losses[0][20] < losses[0][0] - 1e-3  # the steps did something


@pytest.mark.parametrize("kind", ["lora", "soft_prompt"])
def test_opendelta_trains_and_its_adapter_serves_in_pecl(kind, small):
    config = make_config({**small, "rank": None, "adapter": kind, "engine": "opendelta", "gallery": "english"})
    result = train(config)
    assert result.status == "complete"
    assert result.adapter.trainable == train(replace(config, engine="pecl")).adapter.trainable
    tower, data = tiny_tower(), load_dataset(config.dataset, "de")
    test = few_shot_split(len(data), config.shots).test
    gallery = F.normalize(tower.encode_text([data.english[i] for i in test]), dim=1)
    bank = AdapterBank.from_files(tower, [result.adapter_path])
    similarity = F.normalize(bank.encode_text([data.target[i] for i in test], language="de"), dim=1) @ gallery.T
    recorded = torch.tensor(result.ranks("text_to_english", stage="best"))
    closer = similarity - similarity.diagonal()[:, None]  # (test, test): by how much each is nearer than the right one
    closer.fill_diagonal_(-torch.inf)
    assert ((closer > 1e-4).sum(dim=1) < recorded).all()  # the engines differ in the last bits
    assert ((closer > -1e-4).sum(dim=1) + 1 >= recorded).all()
    assert tuple(recorded.tolist()) != result.ranks("text_to_english", stage="zero_shot")


@pytest.fixture
def small_bert(small, monkeypatch):
    """Return the values of a small experiment whose text tower is pecl's `Bert`, like that of mini.

    transformers has none of pecl's attention functions, as in a new process.
    """
    use_towers(partial(tower_of, "mini", torch.float32, dropout=0.1))
    mapping = {name: attend for name, attend in AttentionInterface._global_mapping.items() if "pecl" not in name}
    monkeypatch.setattr(AttentionInterface, "_global_mapping", mapping)
    return small


@pytest.mark.parametrize("spec", [*SPECS, "lora:r=2+layernorm"])
def test_removal_puts_a_backbone_of_pecls_class_back(spec):
    tower = tower_of("mini", torch.float32)
    backbone, plain = tower.backbone, embed(tower)
    modules, state = dict(backbone.named_modules()), {name: one.clone() for name, one in tower.state_dict().items()}
    adapter = attach_opendelta(tower, spec)
    randomise(adapter)
    tower.train()
    adapter.remove()
    assert tower.backbone is backbone
    assert dict(backbone.named_modules()) == modules
    assert all(module.training for module in backbone.modules())
    tower.eval()
    assert torch.equal(embed(tower), plain)
    assert all(torch.equal(tensor, state[name]) for name, tensor in tower.state_dict().items())


def test_a_config_that_does_not_fit_leaves_a_backbone_of_pecls_class_in_place():
    tower = tower_of("mini", torch.float32)
    backbone = tower.backbone
    for spec in ("compacter:reduction_factor=5", "prefix"):
        with pytest.raises(ConfigError):
            attach_opendelta(tower, spec)
        assert tower.backbone is backbone


def test_runs_after_one_of_opendelta_equal_runs_in_a_process_without_it(small_bert, tmp_path):
    """All runs of a process share one tower, so OpenDelta must leave it as it was."""
    text, first, second = write_text(tmp_path / "text.tsv"), tmp_path / "first", tmp_path / "second"

    def run(out):
        trained = train({**small_bert, "out": str(out)})
        distilled = distil(**DISTILLATION, dataset=small_bert["dataset"], text=text, out=str(out))
        measured = evaluate({**small_bert, "out": str(out), "weights": str(trained.adapter_path)})
        return [(result.metrics, result.all_ranks, result.towers) for result in (trained, distilled, measured)]

    before = run(first)
    assert train({**small_bert, "engine": "opendelta"}).status == "complete"
    assert run(second) == before


def test_a_grid_of_both_engines(small_bert):
    assert main(["grid", *flags({**small_bert, "engine": "opendelta,pecl"})]) == 0
    results = collect([small_bert["out"]])
    assert {result.config.engine: result.status for result in results} == {"opendelta": "complete", "pecl": "complete"}
