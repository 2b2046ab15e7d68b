"""Parameters of adapter files: finite everywhere, and near to the original where they are packed in steps."""

import pytest
import torch
from helpers.adapter_towers import states, tower_of
from pack_adapters import pack

from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.files import AdapterFile, load_adapter_file, read_adapter, save_adapter, unpack
from pecl.adapters.formats.peft import read_peft, write_peft
from pecl.adapters.spec import parse_adapter
from pecl.errors import WeightsError

NOT_FINITE = "holds values that are not finite numbers"


@pytest.fixture
def damaged():
    """A tower, and the state of an adapter with a NaN in one parameter."""
    tower = tower_of("xlm-roberta", torch.float32)
    state = states(tower, "lora", 1)[0]
    state[sorted(state)[3]][0] = float("nan")
    return tower, state


def adapter_file(tower, state, path="a.safetensors"):
    return AdapterFile(path, "de", parse_adapter("lora"), state, tower.name, tower.fingerprint)


def test_files_of_every_format(damaged, tmp_path):
    tower, state = damaged
    configs = parse_adapter("lora")
    path = save_adapter(tmp_path / "de.safetensors", state, configs, "de", tower)
    write_peft(tmp_path / "peft", state, configs, tower)
    checkpoint = {name.replace(".lora_", ".lora.lora_").removeprefix("backbone."): t for name, t in state.items()}
    torch.save(checkpoint, tmp_path / "text_model_best.ckpt")
    for read in (
        lambda: load_adapter_file(path),
        lambda: AdapterBank.from_files(tower, [path]),
        lambda: read_adapter(path, tower),
        lambda: read_peft(tmp_path / "peft", tower),
        lambda: read_adapter(tmp_path / "peft", tower),
        lambda: read_adapter(tmp_path / "text_model_best.ckpt", tower),
    ):
        with pytest.raises(
            WeightsError, match=rf"adapter .*{tmp_path}.* cannot be used: adapter parameter '.*' {NOT_FINITE}"
        ):
            read()
    assert tower.adapter is None


@pytest.mark.parametrize(
    ("tokens", "message"),
    [(lambda own: own.flip(0), "numbers that fall"), (lambda own: own.float(), "holds float32, expected int32")],
)
def test_token_ids_are_rising_whole_numbers(tokens, message):
    tower = tower_of("xlm-roberta", torch.float32)
    state = states(tower, "word_embeddings:tokens=5,rank=2", 1)[0]
    name = "backbone.embeddings.word_embeddings.tokens"
    bank = AdapterBank(tower, "word_embeddings:tokens=5,rank=2")
    with pytest.raises(WeightsError, match=message):
        bank.add("de", state | {name: tokens(state[name])})
    bank.add_files([])
    assert bank.languages == []
    bank.add("de", state)
    with pytest.raises(WeightsError, match=r"vectors' holds int32, expected floating-point numbers"):
        bank.add("cs", state | {name.replace("tokens", "vectors"): state[name].expand(2, 5).T})


def drawn():
    draw = torch.Generator().manual_seed(0)
    shapes = {"layer.0.lora_A": (3, 40), "layer.1.lora_A": (3, 40), "head.up": (70, 3), "layer.0.norm": (17,)}
    return {name: torch.randn(*shape, generator=draw) * (i + 1) - 1 for i, (name, shape) in enumerate(shapes.items())}


@pytest.mark.parametrize("step", [0.1, 1.0])
def test_numbers_are_as_far_off_as_the_steps_of_their_role_say(step):
    """Values between two codes are off by the step over the root of 12, on average over squares."""
    state = drawn()
    state["layer.1.norm"] = 50 * state["layer.0.norm"]  # vectors share no step
    found = unpack(pack(state, step))
    assert {name: tensor.shape for name, tensor in found.items()} == {n: t.shape for n, t in state.items()}
    lora, norms = ("layer.0.lora_A", "layer.1.lora_A"), ("layer.0.norm", "layer.1.norm")
    for names, factor in ((lora, 1), (("head.up",), 0.5), *(((norm,), 0.5) for norm in norms)):
        deviation = torch.cat([(state[name] - state[name].mean()).ravel() for name in names]).std(correction=0)
        for name in names:
            errors = (found[name] - state[name]).square().mean().sqrt() / deviation
            assert errors == pytest.approx(step * factor / 12**0.5, rel=0.35), name
            steps = found[name] - state[name].mean()  # least squares: no longer or shorter step is nearer
            assert (steps * (found[name] - state[name])).sum().abs() < 1e-3 * steps.square().sum(), name


def words(rows, columns, rank, smaller=0.5):
    """Vectors (rows, rank) and up (columns, rank); each column of the vectors is smaller than the one before."""
    draw = torch.Generator().manual_seed(0)
    sizes = smaller ** torch.arange(rank)
    return {
        "words.vectors": torch.randn(rows, rank, generator=draw) * sizes,
        "words.up": torch.randn(columns, rank, generator=draw),
    }


def product(state):
    return state["words.vectors"] @ state["words.up"].T


@pytest.mark.parametrize(("rows", "rank"), [(300, 8), (3, 8)])
def test_word_embeddings_are_stored_along_the_singular_vectors_of_their_product(rows, rank):
    """So a rotation of the factors changes neither what is stored nor its size. The rank may exceed both sizes."""
    state = words(rows, 30, rank)
    rotation = torch.linalg.qr(torch.randn(rank, rank, generator=torch.Generator().manual_seed(1)))[0]
    packed, turned = (pack(own, 0.1) for own in (state, {name: own @ rotation for name, own in state.items()}))
    assert len(packed["codes"]) == pytest.approx(len(turned["codes"]), rel=0.02)
    found = unpack(packed)
    assert {name: own.shape for name, own in found.items()} == {name: own.shape for name, own in state.items()}
    exact = product(state)
    assert (product(found) - exact).norm() < 0.25 * exact.norm()
    assert (product(unpack(turned)) - product(found)).norm() < 0.1 * exact.norm()


def test_whole_numbers_are_kept():
    tokens = torch.tensor([[0, 5, 250_001, 2**31 - 1, 2**31 - 1], [3, 2, 1, -7, 0]], dtype=torch.int32)
    assert torch.equal(unpack(pack({"words.tokens": tokens, "norm": torch.ones(3)}, 0.2))["words.tokens"], tokens)
