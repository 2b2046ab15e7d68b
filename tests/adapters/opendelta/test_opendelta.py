"""OpenDelta next to transformers 5: its import, what each delta computes and trains, and taking it off again."""

import importlib.util
import sys

import pytest
import torch
from helpers.tiny import sentences, tiny_tower
from torch.nn import functional as F
from transformers import XLMRobertaConfig, XLMRobertaModel

from pecl.adapters.adapter import attach
from pecl.adapters.formats.opendelta import from_opendelta_state_dict, infer_configs
from pecl.adapters.opendelta import compat as opendelta_compat
from pecl.adapters.opendelta.adapter import attach_opendelta
from pecl.adapters.opendelta.compat import import_opendelta
from pecl.adapters.spec import parse_adapter
from pecl.errors import ConfigError, WeightsError

if importlib.util.find_spec("opendelta") is None:
    pytest.skip(f"OpenDelta is not installed: {opendelta_compat.INSTALL_COMMAND}", allow_module_level=True)

KINDS = {
    "lora": {"r": 2},
    "bottleneck": {"bottleneck_dim": 6},
    "compacter": {"reduction_factor": 4},
    "soft_prompt": {"num_virtual_tokens": 3},
}
WIDTH = 32
INPUT_IDS = torch.tensor([[0, 5, 6, 7, 9, 2], [0, 8, 12, 2, 1, 1], [0, 11, 3, 4, 2, 1]])  # (3, 6), padded with 1


def tiny_backbone(layers=2, width=WIDTH, model=XLMRobertaModel, config=XLMRobertaConfig, **options):
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "intermediate_size": 2 * width, "max_position_embeddings": 30, "pad_token_id": 1}
    shape = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 4}
    return model(config(**(sizes | shape | options)), add_pooling_layer=False).eval()


def mask():
    return (INPUT_IDS != 1).long()  # made again each time: OpenDelta's soft prompt writes into it


def hidden(backbone, attention_mask=None):
    attention_mask = mask() if attention_mask is None else attention_mask
    return backbone(input_ids=INPUT_IDS, attention_mask=attention_mask).last_hidden_state  # (3, 6, 32)


def embed(backbone):
    """The masked mean, over the mask as the backbone leaves it: M-CLIP's pooling."""
    attention_mask = mask()
    states = hidden(backbone, attention_mask)
    return (states * attention_mask.unsqueeze(-1)).sum(1) / attention_mask.sum(1, keepdim=True)


def randomise(attached):
    """Move every trainable parameter away from its start, so that no term of a formula is zero."""
    generator = torch.Generator().manual_seed(5)
    for parameter in attached.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)


class TestImport:
    def test_leaves_no_supplied_name_behind(self):
        import_opendelta()
        from transformers.models.distilbert import modeling_distilbert

        assert "transformers.deepspeed" not in sys.modules
        assert not hasattr(sys.modules.get("turtle"), "back")
        assert not hasattr(modeling_distilbert, "MultiHeadSelfAttention")
        assert not [path for path in sys.path if "opendelta" in path]

    def test_keeps_a_turtle_that_was_there(self):
        with opendelta_compat._names_opendelta_lacks():
            assert sys.modules["turtle"].back is None
        sys.modules["turtle"] = there = opendelta_compat._module("turtle")
        try:
            with opendelta_compat._names_opendelta_lacks():
                pass
            assert sys.modules["turtle"] is there
        finally:
            del sys.modules["turtle"]

    def test_missing_package_says_how_to_install(self, monkeypatch):
        for name in [name for name in sys.modules if name.split(".")[0] == "opendelta"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "path", [])
        monkeypatch.setattr(sys, "path_importer_cache", {})
        with pytest.raises(ConfigError, match=r"pip install -r requirements\.txt -r requirements-opendelta\.txt"):
            import_opendelta()


# kind -> pecl's adapter that starts as OpenDelta does
STARTS = {
    "lora": "lora-only",
    "bottleneck": "bottleneck-only:identity_start=false",
    "compacter": "compacter-only:identity_start=false",
    "soft_prompt": "soft_prompt",
}


class TestStart:
    @pytest.mark.parametrize("kind", KINDS)
    def test_seed_decides_whatever_the_mode_and_the_global_generator(self, kind):
        states = []
        for training, seed in [(False, 3), (True, 3), (False, 4)]:
            backbone = tiny_backbone().train(training)
            before = torch.get_rng_state()
            attached = attach_opendelta(backbone, kind, seed=seed, **KINDS[kind])
            assert torch.equal(torch.get_rng_state(), before)
            assert backbone.training == training
            states.append(torch.cat([tensor.flatten() for tensor in attached.state_dict().values()]))
        assert torch.equal(states[0], states[1])
        assert not torch.equal(states[0], states[2])

    @pytest.mark.parametrize(("kind", "spec"), STARTS.items())
    def test_pecl_draws_from_the_same_distributions(self, kind, spec):
        """Kolmogorov and Smirnov's distance between the values of each name in five seeds."""
        backbone, tower = tiny_backbone(layers=1, width=256), tiny_tower()
        tower.backbone, tower.max_length = backbone, 16
        drawn = [{}, {}]
        for seed in range(5):
            reference = attach_opendelta(backbone, kind, seed=seed, layer_norms=False)
            theirs = from_opendelta_state_dict(reference.state_dict())[1]
            reference.detach()
            adapter = attach(tower, parse_adapter(spec), seeds=(seed,))
            ours = adapter.slot_state(0)
            adapter.remove()
            assert ours.keys() == theirs.keys()
            for values, state in zip(drawn, (ours, theirs), strict=True):
                for name, tensor in state.items():
                    values.setdefault(name.rpartition(".")[2], []).append(tensor.flatten())
        for name in drawn[0]:
            one, other = (torch.cat(values[name]).sort().values for values in drawn)
            assert len(one) == len(other)
            both = torch.cat([one, other])
            below = [torch.searchsorted(values, both, right=True) / len(one) for values in (one, other)]
            assert (below[0] - below[1]).abs().max() < 1.95 * (2 / len(one)) ** 0.5, name


@pytest.mark.parametrize("kind", KINDS)
class TestTraining:
    def test_only_the_delta_and_layer_norms_change(self, kind):
        backbone = tiny_backbone()
        attached = attach_opendelta(backbone, kind, **KINDS[kind])
        before = {name: parameter.detach().clone() for name, parameter in backbone.named_parameters()}
        goal = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(1))
        optimiser = torch.optim.Adam(attached.parameters(), lr=1e-2)
        for _ in range(2):  # a factor is zero at first
            optimiser.zero_grad()
            F.mse_loss(embed(backbone), goal).backward()
            optimiser.step()
        changed = {name for name, parameter in backbone.named_parameters() if not torch.equal(parameter, before[name])}
        delta = ("lora_", "adapter.", "compactor.", "soft_embeds")
        norms = () if kind == "soft_prompt" else ("output.LayerNorm",)
        assert changed == {name for name in before if any(part in name for part in delta + norms)}
        assert changed == dict(attached.named_parameters()).keys()

    def test_state_restores_and_detach_gives_the_plain_backbone_back(self, kind):
        backbone = tiny_backbone()
        plain, names = hidden(backbone), list(backbone.state_dict())
        attached = attach_opendelta(backbone, kind, **KINDS[kind])
        randomise(attached)
        state, trained = attached.state_dict(), hidden(backbone)
        attached.detach()
        assert torch.equal(hidden(backbone), plain)
        assert list(backbone.state_dict()) == names
        assert not any(parameter.requires_grad for parameter in backbone.parameters())
        again = attach_opendelta(backbone, kind, **KINDS[kind])
        again.load_state_dict(state)  # under the same names as the first
        assert torch.equal(hidden(backbone), trained)


class TestErrors:
    @pytest.mark.parametrize(
        ("kind", "options", "message"),
        [
            ("lora_", {}, "unknown OpenDelta kind 'lora_'.*did you mean 'lora'"),
            ("lora", {"rank": 3}, "unknown option of OpenDelta's lora 'rank': expected one of lora_alpha"),
            ("soft_prompt", {"target_modules": ("query",)}, "does not apply to soft_prompt"),
            ("compacter", {"reduction_factor": 5}, "OpenDelta's compacter does not fit the backbone: .*out_features"),
        ],
    )
    def test_one_sentence(self, kind, options, message):
        with pytest.raises(ConfigError, match=message):
            attach_opendelta(tiny_backbone(), kind, **options)

    def test_backbone_that_a_delta_does_not_fit_stays_plain(self):
        backbone = tiny_backbone()
        plain = hidden(backbone)
        with pytest.raises(ConfigError):
            attach_opendelta(backbone, "compacter", phm_dim=5)
        assert torch.equal(hidden(backbone), plain)

    def test_state_of_another_delta(self):
        attached = attach_opendelta(tiny_backbone(), "lora", r=2)
        other = attach_opendelta(tiny_backbone(), "lora", r=3).state_dict()
        with pytest.raises(WeightsError, match=r"lora_A' has shape \(3, 32\), expected \(2, 32\)"):
            attached.load_state_dict(other)
        del other["encoder.layer.0.output.LayerNorm.bias"]
        with pytest.raises(
            WeightsError, match=r"'encoder\.layer\.0\.output\.LayerNorm\.bias' is missing from the lora"
        ):
            attached.load_state_dict(other)


def configs_of(kind):
    """pecl's adapter with the options of `KINDS`."""
    return parse_adapter(f"{kind}:" + ",".join(f"{name}={value}" for name, value in KINDS[kind].items()))


@pytest.mark.parametrize("architecture", ["xlm-roberta", "bert"])
@pytest.mark.parametrize("kind", KINDS)
class TestParity:
    """pecl's own modules against OpenDelta's, from the same initial values."""

    @staticmethod
    def both(kind, architecture):
        """Return a tower with OpenDelta's delta and an equal one with pecl's, and the two deltas."""
        theirs, ours = tiny_tower(architecture), tiny_tower(architecture)
        reference = attach_opendelta(theirs.backbone, kind, **KINDS[kind])
        theirs.head.requires_grad_(False)
        converted_kind, state = from_opendelta_state_dict(reference.state_dict())
        assert converted_kind == kind
        assert infer_configs(kind, state) == configs_of(kind)
        adapter = attach(ours, configs_of(kind))
        adapter.load_slot_state(0, state)
        return theirs, ours, reference, adapter

    def test_outputs(self, kind, architecture):
        theirs, ours, reference, adapter = self.both(kind, architecture)
        assert reference.num_parameters() == adapter.num_parameters()
        for change in (lambda _: None, randomise):
            change(reference)
            adapter.load_slot_state(0, from_opendelta_state_dict(reference.state_dict())[1])
            torch.testing.assert_close(ours(INPUT_IDS, mask()), theirs(INPUT_IDS, mask()), atol=1e-5, rtol=0)
            texts = sentences(7)
            torch.testing.assert_close(ours.encode_text(texts, 3), theirs.encode_text(texts, 3), atol=1e-5, rtol=0)

    @pytest.mark.parametrize("training", [False, True], ids=["no-dropout", "dropout"])
    def test_loss_over_20_steps(self, kind, architecture, training):
        theirs, ours, reference, adapter = self.both(kind, architecture)
        goal = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
        losses = []
        for tower, parameters in ((theirs, reference.parameters()), (ours, adapter.parameters())):
            tower.packing = False  # OpenDelta's is not packed either: masks of dropout are equal for equal shapes only
            tower.train(training)
            optimiser = torch.optim.Adam(parameters, lr=1e-3)
            torch.manual_seed(9)  # the same dropout for both
            losses.append([])
            for _ in range(21):
                loss = F.mse_loss(tower(INPUT_IDS, mask()), goal)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses[-1].append(loss.item())
        assert losses[1] == pytest.approx(losses[0], abs=1e-4)
        assert training or losses[0][20] < losses[0][0] - 1e-3  # the steps did something
