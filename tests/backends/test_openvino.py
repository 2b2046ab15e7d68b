"""`--backend openvino` computes what PyTorch computes, and refuses what it cannot do."""

import copy
import importlib.util
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from helpers.adapter_towers import TEXTS, states, tower_of
from helpers.exporting import image_tower, pictures, text_tower
from helpers.small_index import photographs, towers

import pecl
from pecl.adapters.adapter import attach
from pecl.adapters.bank import AdapterBank
from pecl.adapters.peft.spec import parse_adapter as parse_of_peft
from pecl.adapters.spec import parse_adapter
from pecl.apps.search.options import IndexOptions
from pecl.backends import AUTO_BACKEND, check_backend, set_backend
from pecl.cli import main
from pecl.encoders.image import ImageEncoder
from pecl.encoders.store import store_of
from pecl.encoders.towers import Towers
from pecl.errors import ConfigError, OutputError

if importlib.util.find_spec("openvino") is None:  # an import here would start its reports of usage
    pytest.skip("openvino is not there", allow_module_level=True)
from pecl.backends import openvino as backend
from pecl.backends import openvino_graphs as graphs

BACKENDS = ("torch", "openvino")
SPEC = "layernorm+word_embeddings:rank=3"  # that of the shipped adapters
LANGUAGES = ("de", "cs", "fr")
__all__ = ["photographs", "towers"]  # fixtures


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache of graphs for all tests: a conversion takes seconds."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PECL_CACHE_DIR", str(folder))
        yield folder


def banks(architecture, spec):
    """The same languages on PyTorch and on OpenVINO."""
    parameters = states(tower_of(architecture, torch.float32), spec, len(LANGUAGES))
    for name in BACKENDS:
        tower = tower_of(architecture, torch.float32)
        set_backend(tower, name)
        bank = AdapterBank(tower, spec)
        for language, state in zip(LANGUAGES, parameters, strict=True):
            bank.add(language, state)
        yield bank


def check_texts(architecture, spec):
    expected, found = banks(architecture, spec)
    mixed = [(None, *LANGUAGES)[i % 4] for i in range(len(TEXTS))]
    for texts, languages in ((TEXTS, mixed), (TEXTS, "cs"), (TEXTS[:1], "fr"), (TEXTS[:1], None)):
        rows = [bank.encode_text(texts, languages, normalize=False) for bank in (expected, found)]
        torch.testing.assert_close(rows[1], rows[0], rtol=0, atol=1e-5)
        assert torch.cosine_similarity(*rows).min() > 1 - 1e-5
    assert not torch.equal(found.encode_text(TEXTS, "cs"), found.encode_text(TEXTS, "fr"))

    expected.remove("de"), found.remove("de")  # the other languages move to other slots
    rows = [bank.encode_text(TEXTS, "fr") for bank in (expected, found)]
    torch.testing.assert_close(rows[1], rows[0], rtol=0, atol=1e-5)


def test_texts_in_several_languages_have_equal_embeddings(cache):
    check_texts("mini", SPEC)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["xlm-roberta", "labse", "roberta"])
def test_other_architectures(architecture, cache):
    check_texts(architecture, "lora+head")


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["soft_prompt+lora+head", "bottleneck", "compacter:reduction_factor=4", "bitfit"])
def test_other_adapters(spec, cache):
    check_texts("mini", spec)


def test_divided_batches_have_equal_embeddings_in_their_order(cache):
    texts = [f"{i * 'sehr '}viele Hunde" for i in range(17)]  # of different lengths: batches sort them
    mixed = [LANGUAGES[i % 2] for i in range(17)]
    expected, found = banks("mini", SPEC)
    for languages in (mixed, "cs", None):
        rows = [bank.encode_text(texts, languages, batch_size=32, normalize=False) for bank in (expected, found)]
        torch.testing.assert_close(rows[1], rows[0], rtol=0, atol=1e-5)


def test_images_have_equal_embeddings(cache):
    plain, tower = image_tower(), image_tower()
    set_backend(tower, "openvino")
    for images in (pictures(), pictures()[:1]):
        rows = [one.encode_image(images, normalize=False) for one in (tower, plain)]
        torch.testing.assert_close(*rows, rtol=0, atol=1e-5)
        assert torch.cosine_similarity(*rows).min() > 1 - 1e-5
    assert store_of(tower).tower != store_of(plain).tower  # other last digits


@pytest.fixture
def graph(tmp_path, monkeypatch):
    """The folder of a cached graph, alone in its cache."""
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path))
    set_backend(image_tower(), "openvino")
    (path,) = tmp_path.glob("openvino/*/graph.xml")
    return path.parent


def test_the_second_start_reads_the_cache(graph, monkeypatch):
    monkeypatch.setattr(graphs, "_convert", lambda *_: pytest.fail("it was converted again"))
    set_backend(image_tower(), "openvino")


@pytest.mark.parametrize("part", ["version of OpenVINO", "format"])
def test_another_version_converts_again(graph, monkeypatch, part):
    if part == "format":
        monkeypatch.setattr(graphs, "FORMAT", graphs.FORMAT + 1)
    else:
        monkeypatch.setattr(graphs.openvino(), "__version__", "2031.1.0-1-of-a-later-release")
    set_backend(image_tower(), "openvino")
    assert len({path.parent for path in graph.parent.glob("*/graph.xml")} - {graph}) == 1


@pytest.mark.parametrize("name", ["graph.bin", "digests.json"])
def test_a_damaged_graph_is_converted_again(name, graph, monkeypatch, caplog):
    path = graph / name
    path.write_bytes(path.read_bytes()[:-9] + bytes(9))
    tower = image_tower()
    set_backend(tower, "openvino")
    assert f"dropping a damaged graph in {graph}" in caplog.text
    monkeypatch.setattr(graphs, "_convert", lambda *_: pytest.fail("it was converted a third time"))
    set_backend(image_tower(), "openvino")
    torch.testing.assert_close(tower.encode_image(pictures()), image_tower().encode_image(pictures()))


def test_a_cache_that_cannot_be_written_costs_a_conversion_at_every_start(tmp_path, monkeypatch, caplog):
    (tmp_path / "cache").write_text("a file in place of the folder")
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    tower = image_tower()
    set_backend(tower, "openvino")
    assert "the image tower tiny-timm is converted at every start" in caplog.text
    torch.testing.assert_close(tower.encode_image(pictures()), image_tower().encode_image(pictures()))


def test_an_index_has_the_same_hits_with_either_backend(photographs, tmp_path):
    indexes = []
    for name in BACKENDS:
        pecl.build_index(photographs, tmp_path / name, IndexOptions(backend=name))
        indexes.append(pecl.ImageIndex.open(tmp_path / name, backend=name))
    assert "openvino" in indexes[1].queries.plain.runtime.name
    (picture,) = pictures(1)
    for query in ("ein Hund", picture):
        expected, found = (index.search([query], "de", top=12)[0] for index in indexes)
        assert [hit.path for hit in found] == [hit.path for hit in expected]
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-5)
    assert indexes[1].queries.image_tower.runtime is not None

    report = pecl.build_index(
        photographs, tmp_path / "openvino", IndexOptions(backend="torch")
    )  # by PyTorch, with which the index goes on
    assert (report.new, report.changed, report.again) == (0, 0, "")


def test_bulk_embeddings_name_the_backend_and_are_not_mixed(cache, tmp_path, monkeypatch, towers):
    path = tmp_path / "lines.txt"
    path.write_text("ein Hund\na dog\n", "utf-8")
    monkeypatch.setattr(pecl.encoders.towers, "load_towers", lambda **_: Towers(text_tower, image_tower))
    rows = [pecl.embed(path, tmp_path / name, backend=name, normalize=False) for name in BACKENDS]
    assert rows[1].metadata["backend"].startswith("openvino 20")
    assert rows[1].metadata["precision"] == "fp32"
    expected, found = (pecl.open_embeddings(tmp_path / name)[:] for name in BACKENDS)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    with pytest.raises(OutputError, match="other embeddings"):
        pecl.embed(path, tmp_path / "openvino", normalize=False, backend="torch")


def test_the_package_does_not_report_its_usage(cache):
    set_backend(image_tower(), "openvino")
    assert sys.modules["openvino_telemetry"] is None


class Unlike(torch.nn.Module):
    """A network whose operations depend on its pixels."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))

    def forward(self, pixels):
        means = pixels.mean((2, 3)) * self.weight
        return means if bool((means > 0).all()) else -means


def unlike():
    tower = image_tower()
    return ImageEncoder(Unlike(), None, tower.preprocess, name="unlike", preprocessing={})


def test_what_cannot_be_computed_is_refused(cache, monkeypatch):
    with pytest.raises(ConfigError, match="cannot compute the image tower unlike: expected torch"):
        set_backend(unlike(), "openvino")
    with pytest.raises(ConfigError, match="expected torch or auto on the device cuda, got openvino"):
        check_backend("openvino", "cuda")
    with pytest.raises(ConfigError, match="did you mean 'openvino'"):
        check_backend("openvinno", "cpu")
    with pytest.raises(ConfigError, match=r"expected torch for weights of torch\.float64"):
        set_backend(tower_of("mini"), "openvino")
    rounded = tower_of("mini", torch.float32)
    rounded.use_bfloat16()
    with pytest.raises(ConfigError, match=r"expected torch for weights of torch\.bfloat16"):
        set_backend(rounded, "openvino")

    tower = tower_of("mini", torch.float32)
    set_backend(tower, "openvino")
    attach(tower, parse_of_peft("lora:r=4"))
    with pytest.raises(ConfigError, match="expected torch for an adapter of another engine, got openvino for lora:r=4"):
        tower.encode_text("ein Hund")


@pytest.mark.parametrize(("capabilities", "refused"), [(["FP32"], True), (["FP32", "BF16"], False)])
def test_bfloat16_is_never_replaced(capabilities, refused, monkeypatch):
    core = SimpleNamespace(get_property=lambda *_: capabilities)
    monkeypatch.setattr(backend, "core", lambda: core)
    expected = "expected fp32 with the backend openvino on this processor, got bf16"
    with pytest.raises(ConfigError, match=expected) if refused else nullcontext():
        check_backend("openvino", "cpu", "bf16")
    check_backend("openvino", "cpu", "fp32")


def changed_in_place(tower):
    with torch.no_grad():
        next(tower.backbone.parameters()).mul_(0.5)


def trained(tower):
    tower.requires_grad_(True)
    optimizer = torch.optim.SGD(tower.backbone.parameters(), lr=0.1)
    tower(*tower.pad(tower.tokenize(TEXTS), range(len(TEXTS)))[1:]).sum().backward()
    optimizer.step()


@pytest.mark.parametrize("change", [changed_in_place, trained])
def test_weights_that_changed_are_computed_by_pytorch(change, cache):
    """A graph holds a copy of the weights, so it would go on with the earlier ones."""
    plain, tower = tower_of("mini", torch.float32), tower_of("mini", torch.float32)
    set_backend(tower, "openvino")
    before = tower.encode_text(TEXTS)
    for one in (plain, tower):
        change(one)
    assert torch.equal(tower.encode_text(TEXTS), plain.encode_text(TEXTS))
    assert not torch.allclose(tower.encode_text(TEXTS), before, atol=1e-3)


@pytest.mark.parametrize("copied", [copy.deepcopy, torch.nn.Module.float])
def test_a_copied_or_converted_tower_is_computed_by_pytorch(copied, cache):
    tower = image_tower()
    set_backend(tower, "openvino")
    assert copied(tower).runtime is None


def test_gradients_and_dropout_are_computed_by_pytorch(cache):
    plain, tower = tower_of("mini", torch.float32), tower_of("mini", torch.float32)
    set_backend(tower, "openvino")
    inputs = tower.pad(tower.tokenize(TEXTS), range(len(TEXTS)))[1:]
    for one in (plain, tower):
        attach(one, parse_adapter("lora:r=2"))
    assert torch.equal(tower(*inputs), plain(*inputs))
    tower(*inputs).sum().backward()
    assert tower.adapter.parameters()[0].grad is not None
    with torch.no_grad():
        assert not torch.equal(tower(*inputs), plain(*inputs))  # other last digits
        torch.testing.assert_close(tower(*inputs), plain(*inputs), rtol=0, atol=1e-5)
        tower.train()
        assert tower.active_runtime is None


def test_pytorch_uses_one_thread_beside_it(cache):
    tower = tower_of("mini", torch.float32)
    set_backend(tower, "openvino")
    tower.encode_text(TEXTS)  # compiles
    threads = []
    tower.head.register_forward_hook(lambda *_: threads.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    tower.encode_text(TEXTS[:1])
    assert (threads, torch.get_num_threads()) == ([1], 2)


def test_auto_leaves_an_adapter_of_another_engine_to_pytorch(cache, monkeypatch, caplog):
    monkeypatch.delenv(AUTO_BACKEND)
    plain, tower = tower_of("mini", torch.float32), tower_of("mini", torch.float32)
    assert set_backend(tower, "auto").backend == "openvino"
    for one in (plain, tower):
        attach(one, parse_of_peft("lora:r=4"))
    with caplog.at_level("INFO", "pecl"):
        assert torch.equal(tower.encode_text(TEXTS), plain.encode_text(TEXTS))
    assert "PyTorch computes the text tower" in caplog.text


def test_auto_leaves_what_openvino_cannot_compute_to_pytorch(cache, monkeypatch, caplog):
    monkeypatch.delenv(AUTO_BACKEND)
    with caplog.at_level("DEBUG", "pecl"):
        choice = set_backend(unlike(), "auto")
    assert choice.backend == "torch"
    assert choice.reason in caplog.text
    assert "cannot compute the image tower unlike" in choice.reason


@pytest.mark.parametrize("line", ["index PLACE", "search PLACE a dog", "serve", "embed lines.txt --out out"])
def test_every_command_refuses_a_missing_package(line, photographs, monkeypatch, capsys):
    pecl.build_index(photographs)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else find(name))
    words = [str(photographs) if word == "PLACE" else word for word in line.split()]
    assert main([*words, "--backend", "openvino"]) == 2
    assert "pip install -e '.[openvino]'" in capsys.readouterr().err
