"""Every method that PEFT has registered: it trains, reloads, merges and opens in PEFT itself, or it is refused."""

import types

import pytest
import torch
from helpers.tiny import sentences, tiny_tower

from pecl.adapters.adapter import attach
from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.files import merge_adapter, read_adapter, save_adapter
from pecl.adapters.formats.peft import write_peft
from pecl.adapters.kinds.head import HeadConfig
from pecl.adapters.peft import allocation
from pecl.adapters.peft.methods import REFUSED, TRIED, config_classes, method_names
from pecl.adapters.peft.spec import parse_adapter
from pecl.adapters.spec import configs_from_json, configs_to_json, describe
from pecl.errors import ConfigError

peft = pytest.importorskip("peft")

METHODS = sorted(config_classes())
# Options that fit a tower of width 32; all other methods have PEFT's own defaults
OPTIONS = {
    "adamss": "r=8",
    "fourierft": "n_frequency=50",
    "gralora": "r=4",
    "hira": "r=4",
    "miss": "r=4",
    "pvera": "r=8",
    "shira": "r=4",
    "supertuning": "sparsity=0.9",
    "trainable_tokens": "tokens=20",
    "vera": "r=8",
    "waveft": "n_frequency=50",
}
TEXTS = sentences(5, seed=3)
STEPS = 10


def spec_of(method):
    return f"{method}:{OPTIONS[method]}" if method in OPTIONS else method


def embed(tower):
    with torch.no_grad():
        return tower.encode_token_ids(tower.tokenize(TEXTS), batch_size=2)


def train(tower, adapter):
    """Take some steps towards random embeddings and return the losses."""
    batch = tower.pad(tower.tokenize(TEXTS), range(len(TEXTS)))
    goal = torch.randn(len(TEXTS), tower.embedding_dim, generator=torch.Generator().manual_seed(0))
    adapter.choose(0, [tower.tokenize(TEXTS)])
    adapter.steps.begin(STEPS)
    optimizer, losses = torch.optim.Adam(adapter.parameters(), lr=1e-2), []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = (tower(batch.input_ids, batch.attention_mask) - goal).square().mean()
        (loss + adapter.steps.penalty()).backward()
        optimizer.step()
        adapter.steps.after_step(step)
        losses.append(loss.item())
    return losses


def opened_by_peft(folder):
    """Return a tower whose encoder PEFT opened from its own folder."""
    tower = tiny_tower()
    wrapped = peft.PeftModel.from_pretrained(tower.backbone, str(folder)).eval()
    tower.backbone = wrapped.get_base_model()
    return tower


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_reloads_merges_and_opens_in_peft_or_is_refused(method, tmp_path):
    if method in REFUSED:
        assert method not in method_names()
        with pytest.raises(ConfigError, match=f"engine peft: {method} .*: use engine='pe"):
            parse_adapter(method)
        return
    assert method in method_names()
    try:
        configs, tower = parse_adapter(spec_of(method)), tiny_tower()
        plain, names = embed(tower), list(tower.state_dict())
        adapter = attach(tower, configs, seeds=[1])
    except ConfigError:
        assert method not in TRIED  # of a newer PEFT, which may not work, or need other options
        return
    assert configs_from_json(configs_to_json(configs)) == configs
    assert describe(configs) == spec_of(method)
    before = adapter.slot_state(0)
    losses = train(tower, adapter)
    state, trained = adapter.slot_state(0), embed(tower)
    assert losses[-1] < losses[0]
    assert any(not torch.equal(value, before[name]) for name, value in state.items())
    adapter.remove()
    assert torch.equal(embed(tower), plain)  # the tower's own weights were not written
    assert list(tower.state_dict()) == names

    path = save_adapter(tmp_path / "a.safetensors", state, configs, "de", tower)
    other = tiny_tower()
    file = read_adapter(path, other)
    reloaded = attach(other, file.configs, seeds=[7])  # other initial values, which the file replaces
    reloaded.load_slot_state(0, file.state)
    assert torch.equal(embed(other), trained)
    reloaded.remove()
    assert torch.allclose(embed(merge_adapter(file, other)), trained, atol=1e-5)
    write_peft(tmp_path / "peft", file.state, file.configs, other)
    assert torch.allclose(embed(opened_by_peft(tmp_path / "peft")), trained, atol=1e-5)


def other_decompositions(monkeypatch):
    """Decompose as another device or library does: vectors have other signs, and clusters other members."""
    from peft.tuners.adamss import layer

    svd, eigh, clusters = torch.linalg.svd, torch.linalg.eigh, layer.clustering_Z

    def other_svd(*args, **options):
        left, values, right = svd(*args, **options)
        left[:, 0] *= -1
        right[0] *= -1
        return left, values, right

    def other_eigh(*args):
        values, vectors = eigh(*args)
        vectors[:, 0] *= -1
        return values, vectors

    def other_clusters(*args):
        of_rows, number = clusters(*args)
        return of_rows.flip(0), number

    monkeypatch.setattr(torch.linalg, "svd", other_svd)
    monkeypatch.setattr(torch.linalg, "eigh", other_eigh)
    monkeypatch.setattr(layer, "clustering_Z", other_clusters)


@pytest.mark.parametrize("method", ["psoft", "frod", "adamss", "osf"])
def test_a_file_holds_what_a_method_computed_from_the_weights(method, tmp_path, monkeypatch):
    configs, tower = parse_adapter(spec_of(method)), tiny_tower()
    adapter = attach(tower, configs, seeds=[1])
    train(tower, adapter)
    expected = embed(tower)
    path = save_adapter(tmp_path / "a.safetensors", adapter.slot_state(0), configs, "de", tower)

    other_decompositions(monkeypatch)
    other = tiny_tower()
    file = read_adapter(path, other)
    torch.testing.assert_close(embed(merge_adapter(file, other)), expected, rtol=0, atol=1e-5)
    assert torch.allclose(
        AdapterBank.from_files(other, path).encode_text(TEXTS, "de"), tower.encode_text(TEXTS), atol=1e-5
    )
    attach(other, file.configs, seeds=[7]).load_slot_state(0, file.state)
    torch.testing.assert_close(embed(other), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["psoft", "adamss"])
def test_a_file_from_before_lacks_what_a_method_computed(method, tmp_path):
    configs, tower = parse_adapter(spec_of(method)), tiny_tower()
    adapter = attach(tower, configs, seeds=[1])
    train(tower, adapter)
    state = adapter.slot_state(0)
    before = {name: tensor for name, tensor in state.items() if "_cache" not in name and "scatter_index" not in name}
    assert len(before) < len(state)
    path = save_adapter(tmp_path / "a.safetensors", before, configs, "de", tower)

    other = tiny_tower()
    assert torch.equal(AdapterBank.from_files(other, path).encode_text(TEXTS, "de"), tower.encode_text(TEXTS))
    file = read_adapter(path, other)
    attach(other, file.configs, seeds=[7]).load_slot_state(0, file.state)
    assert torch.equal(embed(other), embed(tower))


def test_a_seed_gives_the_same_initial_values():
    states = []
    for seed in (1, 1, 2):
        torch.rand(seed)  # whatever was drawn before
        states.append(attach(tiny_tower(), parse_adapter("lora+head:rank=2"), seeds=[seed]).slot_state(0))
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert any(not torch.equal(value, states[2][name]) for name, value in states[0].items())


def test_lora_and_dora_equal_pefts_own_training():
    """A loop written with PEFT alone ends with the same embeddings."""
    for options in ({}, {"use_dora": True}):
        tower, reference = tiny_tower(), tiny_tower()
        paths = [f"encoder.layer.{i}.attention.self.{name}" for i in range(2) for name in ("query", "value")]
        torch.manual_seed(1)
        peft.get_peft_model(reference.backbone, peft.LoraConfig(r=4, target_modules=paths, **options))
        parameters = [one for one in reference.backbone.parameters() if one.requires_grad]
        batch = reference.pad(reference.tokenize(TEXTS), range(len(TEXTS)))
        goal = torch.randn(len(TEXTS), 8, generator=torch.Generator().manual_seed(0))
        optimizer = torch.optim.Adam(parameters, lr=1e-2)
        for _ in range(STEPS):
            optimizer.zero_grad()
            (reference(batch.input_ids, batch.attention_mask) - goal).square().mean().backward()
            optimizer.step()
        adapter = attach(tower, parse_adapter("lora:r=4" + ",use_dora=true" * bool(options)), seeds=[1])
        train(tower, adapter)
        assert torch.allclose(embed(tower), embed(reference), atol=1e-5)


def test_the_penalty_of_adalora_is_pefts():
    """PEFT adds it in the pass of a whole model; the numbers of the second part are worked out by hand."""
    tower = tiny_tower()
    adapter = attach(tower, parse_adapter("adalora:init_r=4,target_r=2,orth_reg_weight=0.3"), seeds=[1])
    generator = torch.Generator().manual_seed(0)
    for parameter in adapter.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator)

    class WithLoss(torch.nn.Module):
        """A model whose output has a loss of 2, as PEFT's pass expects."""

        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self):
            return types.SimpleNamespace(loss=torch.tensor(2.0))

    wrapped = adapter.wrapped.base_model
    model = wrapped.model
    wrapped.model = WithLoss(model)
    with_penalty = wrapped().loss
    wrapped.model = model
    torch.testing.assert_close(adapter.steps.penalty(), with_penalty - 2)

    wide = torch.tensor([[1.0, 0, 0], [0, 1, 0]])  # A Aᵀ is the identity
    high = torch.tensor([[2.0, 0], [0, 1], [0, 0]])  # Bᵀ B is diag(4, 1), 3 from the identity
    config = types.SimpleNamespace(orth_reg_weight=0.5)
    penalty = allocation.penalty(config, {"x.lora_A.default": wide, "x.lora_B.default": high})
    assert float(penalty) == 0.5 * (0 + 3) / 2


def test_words_that_an_adapter_changes_are_in_no_cache():
    """PEFT's modules are in the last layer only, and pecl's words below it."""
    tower = tiny_tower()
    spec = "lora:r=2,layers=top-1"
    adapter = attach(tower, parse_adapter(spec), seeds=[1])
    assert adapter.first_layer == 1
    adapter.remove()

    adapter = attach(tower, parse_adapter(f"{spec}+word_embeddings:tokens=9"), seeds=[1])
    token_ids = tower.tokenize(TEXTS)
    adapter.choose(0, [token_ids])
    plain = embed(tower)
    with tower.caching([token_ids]):
        for parameter in adapter.parameters():
            parameter.data += 0.1
        cached = embed(tower)
    assert torch.equal(cached, embed(tower))
    assert not torch.allclose(cached, plain, atol=1e-3)
    assert adapter.first_layer == 0


def test_only_the_weights_of_changed_modules_are_read(monkeypatch):
    """A tower's file is mapped into memory: comparing shared weights would read all of it."""
    tower, compared, plain = tiny_tower(), [], torch.equal

    def noted(one, other):
        compared.append(one.numel())
        return plain(one, other)

    monkeypatch.setattr(torch, "equal", noted)
    attach(tower, parse_adapter("lora:r=4"))
    layers = tower.backbone.config.num_hidden_layers
    assert sum(compared) == layers * 2 * (32 * 32 + 32)  # query and value


def test_a_method_that_mixes_texts_is_refused_when_it_is_tried(monkeypatch):
    from pecl.adapters.peft import adapter, methods

    monkeypatch.delitem(methods.REFUSED, "lily")
    monkeypatch.setattr(adapter, "TRIED", frozenset())
    tower = tiny_tower()
    backbone = tower.backbone
    with pytest.raises(ConfigError, match="lily mixes the texts of a batch"):
        attach(tower, parse_adapter("lily:r=4"))
    assert tower.adapter is None
    assert tower.backbone is backbone
    attach(tower, parse_adapter("lora"))


def test_a_tower_is_plain_after_a_part_beside_the_method_fails(monkeypatch):
    def fail(*_):
        raise ConfigError("head: does not fit")

    monkeypatch.setattr(HeadConfig, "placements", fail)
    tower = tiny_tower()
    backbone = tower.backbone
    with pytest.raises(ConfigError, match="head: does not fit"):
        attach(tower, parse_adapter("lora:r=2+head"))
    assert tower.adapter is None
    assert tower.backbone is backbone


def test_chosen_tokens_keep_the_vectors_that_they_start_from():
    tower = tiny_tower()
    words = tower.backbone.get_input_embeddings().weight.detach().clone()
    adapter = attach(tower, parse_adapter("trainable_tokens:tokens=3"), seeds=[1])
    adapter.choose(0, [[[5, 5, 5, 6, 6, 7]]])
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter += 1.0

    adapter.choose(0, [[[5, 5, 5, 6, 6, 8]]])
    (delta,) = adapter.parameters()
    torch.testing.assert_close(delta.detach().reshape(3, -1), words[[5, 6, 8]] + torch.tensor([[1.0], [1.0], [0.0]]))


@pytest.mark.parametrize(
    ("spec", "role"),
    [("trainable_tokens", "word_embeddings"), ('lora:target_modules=".*layer.0.*query"', ".*layer.0.*query")],
)
def test_layers_without_a_module_of_the_method_are_refused(spec, role):
    tower = tiny_tower("bert")
    with pytest.raises(ConfigError) as error:
        attach(tower, parse_adapter(spec, layers="top-1"))
    expected = f"layers: expected layers with {role} in the text tower 'tiny-bert', got \"top-1\""
    assert expected in str(error.value)
    assert tower.adapter is None
