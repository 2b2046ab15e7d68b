"""Adapter files and folders of somebody else: each is refused in one sentence that names it, at once."""

import json
import signal
import sys
import zlib
from contextlib import contextmanager

import pytest
import torch
from helpers.tiny import sentences, tiny_tower
from safetensors.torch import save_file

from pecl.adapters import engines
from pecl.adapters.adapter import attach
from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.files import load_adapter_file, merge_adapter, read_adapter, save_adapter
from pecl.adapters.formats.packed import CODES, LAYOUT
from pecl.adapters.formats.peft import CONFIG_FILE, WEIGHTS_FILE, write_peft
from pecl.adapters.spec import describe, parse_adapter
from pecl.errors import ConfigError, WeightsError
from pecl.files import read_tensors, write_tensors

pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore")

PATTERN = "(([a-z0-9_.])+)+!"  # takes exponential time where nothing matches
LONG = 10**400
IMPORTING = {"megatron_config": {"a": 1}, "megatron_core": "megatron.evil"}
HOSTILE_OPTIONS = {
    "an import": IMPORTING,
    "a file": {"init_lora_weights": "corda", "corda_config": {"cache_file": "/etc/passwd"}},
    "a pattern": {"target_modules": [PATTERN]},
    "a pattern that is no list": {"target_modules": PATTERN},
    "numbers for names": {"target_modules": ["query", 3]},
    "a number for names": {"target_modules": 5},
    "a pattern of ranks": {"rank_pattern": {PATTERN: 2}},
    "a pattern of factors": {"alpha_pattern": {"query": 16, PATTERN: 2}},
    "patterns of layers": {"layers_pattern": [PATTERN], "layers_to_transform": [0]},
    "excluded by a pattern": {"exclude_modules": PATTERN},
    "saved by a pattern": {"modules_to_save": [PATTERN]},
    "saved by a wrong pattern": {"modules_to_save": ["(["]},
    "no number": {"lora_alpha": float("nan")},
    "no finite number": {"lora_alpha": float("inf")},
    "a long number": {"lora_alpha": LONG},
    "a factor without a float": {"alpha_pattern": {"query": LONG}},
    "a huge rank": {"r": 10**9},
    "a rank without a number": {"r": float("nan")},
    "many steps": {"init_lora_weights": "pissa_niter_1000000000"},
    "repeated layers": {"layer_replication": [[0, 2], [0, 2]]},
    "another package": {"loftq_config": {"loftq_bits": 4}, "init_lora_weights": "loftq"},
    "a text for a number": {"r": "2"},
    "aLoRA": {"alora_invocation_tokens": [5, 6]},
    "an option of a newer PEFT": {"use_new_formula": True},
}


@contextmanager
def within(seconds):
    """Fail if the body takes longer; Python's own regular expressions let no signal in, which ends the process."""

    def fail(*_):
        raise TimeoutError(f"not done in {seconds} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def evil_module(tmp_path, monkeypatch):
    """Put a module `megatron.evil` on the path, and return the file that it writes."""
    package, trace = tmp_path / "here" / "megatron", tmp_path / "it-ran"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "evil.py").write_text(f"open({str(trace)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(package.parent))
    yield trace
    for name in ("megatron", "megatron.evil"):
        sys.modules.pop(name, None)


def written(path, spec, engine="pecl"):
    """Write an adapter file of a spec, for Czech, and return its path."""
    tower = tiny_tower()
    configs = engines.parse_adapter(engine, spec, None, None)
    adapter = attach(tower, configs, seeds=[1])
    return save_adapter(path, adapter.slot_state(0), adapter.file_configs, "cs", tower)


def with_header(path, change):
    """Change the configs in the header of an adapter file."""
    tensors, header = read_tensors(path)
    configs = json.loads(header["configs"])
    change(configs[0])
    write_tensors(path, tensors, {**header, "configs": json.dumps(configs)})


def peft_folder(folder, **options):
    """Write a folder of PEFT with LoRA and further options in its config."""
    tower = tiny_tower()
    adapter = attach(tower, parse_adapter("lora-only:r=2"), seeds=[1])
    state = adapter.slot_state(0)
    adapter.remove()
    write_peft(folder, state, parse_adapter("lora-only:r=2"), tower)
    document = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
    (folder / CONFIG_FILE).write_text(json.dumps({**document, **options}), "utf-8")
    return folder


def check_refused(path, load):
    """Check that loading ends in one short sentence with the path, soon, and leaves the tower plain."""
    tower = tiny_tower()
    with within(5), pytest.raises((WeightsError, ConfigError)) as error:
        load(tower, path)
    sentence = str(error.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    assert len(sentence) < 1500
    assert tower.adapter is None


@pytest.mark.parametrize("name", HOSTILE_OPTIONS)
def test_hostile_options_in_a_header_are_refused(name, tmp_path, evil_module):
    path = written(tmp_path / "a.safetensors", "lora:r=2", "peft")
    with_header(path, lambda config: config.update(options=json.dumps({"r": 2, **HOSTILE_OPTIONS[name]})))
    for load in (
        lambda tower, path: AdapterBank.from_files(tower, path),
        lambda tower, path: read_adapter(path, tower),
    ):
        check_refused(path, load)
    assert not evil_module.exists()


@pytest.mark.parametrize("name", HOSTILE_OPTIONS)
@pytest.mark.parametrize("more", [{}, {"use_dora": True}], ids=["plain", "dora"])
def test_hostile_options_in_a_folder_are_refused_or_not_used(name, more, tmp_path, evil_module):
    folder = peft_folder(tmp_path / "folder", **more, **HOSTILE_OPTIONS[name])
    selecting = ("target_modules", "modules_to_save", "exclude_modules", "layers_pattern")
    if not more and not HOSTILE_OPTIONS[name].keys().isdisjoint(selecting):
        tower = tiny_tower()  # the tensors of a plain LoRA name its layers
        with within(5):
            assert describe(read_adapter(folder, tower).configs).startswith("lora-only:r=2")
    else:
        check_refused(folder, lambda tower, path: read_adapter(path, tower))
    assert not evil_module.exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("target_modules", [PATTERN]),
        ("lora_alpha", float("nan")),
        ("lora_alpha", float("inf")),
        ("lora_alpha", LONG),
        ("r", 10**9),
        ("r", 2.0),
        ("target_modules", ["(" * 5000]),
        ("target_modules", ["backbone.encoder.layer.9.output.dense"]),
    ],
)
def test_hostile_options_of_pecls_own_kinds_are_refused(option, value, tmp_path):
    path = written(tmp_path / "a.safetensors", "lora-only:r=2")
    with_header(path, lambda config: config.update({option: value}))
    check_refused(path, lambda tower, path: AdapterBank.from_files(tower, path))


@pytest.mark.parametrize("engine", ["pecl", "peft"])
def test_a_factor_that_overflows_ends_a_query_with_an_error(engine, tmp_path):
    """The number in the header is finite, the embedding is not."""
    spec = "lora:r=2,target_modules=output"
    tower = tiny_tower()
    adapter = attach(tower, engines.parse_adapter(engine, spec, None, None), seeds=[1])
    state = {name: torch.ones_like(tensor) for name, tensor in adapter.slot_state(0).items()}
    path = save_adapter(tmp_path / "a.safetensors", state, adapter.configs, "cs", tiny_tower())
    factor = {"lora_alpha": 1e38} if engine == "pecl" else {"options": json.dumps({"r": 2, "lora_alpha": 1e308})}
    if engine == "peft":
        factor = {"options": json.dumps({"r": 2, "lora_alpha": 1e308, "target_modules": ["output"]})}

    with_header(path, lambda config: config.update(factor))
    bank = AdapterBank.from_files(tiny_tower(), path)
    with pytest.raises(WeightsError, match=f"adapter {path} returns embeddings that contain NaN or infinity"):
        bank.encode_text(["pes"], "cs")
    assert torch.isfinite(bank.encode_text(["a dog"])).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value, tmp_path):
    path = written(tmp_path / "a.safetensors", "lora-only:r=2")
    tensors, header = read_tensors(path)
    tensors[min(tensors)][0, 0] = value
    write_tensors(path, tensors, header)
    check_refused(path, lambda tower, path: AdapterBank.from_files(tower, path))


@pytest.mark.parametrize("engine", ["pecl", "peft"])
@pytest.mark.parametrize("named", ["pattern", "paths"])
def test_a_file_holds_paths_in_place_of_a_pattern(engine, named, tmp_path):
    layers = [f"backbone.encoder.layer.{i}.output.dense" for i in range(2)]
    spec = f"lora:r=2,target_modules={'/'.join(layers)}"
    if named == "pattern":
        spec = 'lora:r=2,target_modules="encoder.layer.[01].output.dense"'
    path = written(tmp_path / "a.safetensors", spec, engine)
    file = load_adapter_file(path)
    assert "/".join(layers) in describe(file.configs)
    assert engines.parse_adapter(engine, describe(file.configs), None, None) == file.configs

    tower = tiny_tower()
    bank = AdapterBank.from_files(tower, path)
    bank.save("cs", tmp_path / "again.safetensors")
    assert load_adapter_file(tmp_path / "again.safetensors").configs == file.configs
    texts = sentences(3)
    merged = merge_adapter(read_adapter(path, tower), tower).encode_text(texts)
    assert torch.allclose(merged, bank.encode_text(texts, "cs"), atol=1e-5)


def test_a_long_name_of_a_tensor_is_refused(tmp_path):
    """Names are searched for a path: the time would grow with the square of their length."""
    folder = peft_folder(tmp_path / "folder")
    save_file({"encoder.layer.0." * 20_000 + "x": torch.ones(1)}, folder / WEIGHTS_FILE)
    check_refused(folder, lambda tower, path: read_adapter(path, tower))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("language", "../../x"),
        ("language", "a\nb"),
        ("language", ""),
        ("format_version", "-1"),
        ("format_version", "9" * 5000),
        ("trainable", "9" * 5000),
        ("training_pairs", "[" * 100_000),
        ("configs", "[" * 100_000),
        ("configs", json.dumps([{"kind": "peft", "method": "lora", "options": "[" * 9_000, "layers": None}])),
        ("configs", json.dumps([{"kind": "peft", "method": "../x", "options": "{}", "layers": None}])),
        ("configs", json.dumps([{"kind": "head", "rank": 10**9}])),
        ("configs", json.dumps([{"kind": "word_embeddings", "tokens": 10**9, "rank": 10**6}])),
    ],
)
def test_hostile_headers_are_refused(name, value, tmp_path):
    path = written(tmp_path / "a.safetensors", "lora-only:r=2")
    tensors, header = read_tensors(path)
    write_tensors(path, tensors, {**header, name: value})
    check_refused(path, lambda tower, path: AdapterBank.from_files(tower, path))


def packed_file(path, codes, parameters):
    """Write a file of packed parameters: its compressed codes, and a layout of one role."""
    written(path, "lora-only:r=2")
    _, header = read_tensors(path)
    layout = parameters if isinstance(parameters, bytes) else json.dumps([[len(codes), parameters]]).encode()
    content = {CODES: codes, LAYOUT: zlib.compress(layout)}
    tensors = {name: torch.frombuffer(bytearray(part), dtype=torch.uint8) for name, part in content.items()}
    write_tensors(path, tensors, header)
    return path


@pytest.mark.parametrize(
    ("codes", "parameters"),
    [
        (b"", [["x", [10**12], 0.0, 1.0]]),
        (b"", [["x", [10**9, 3], 0.0, 1.0]]),
        (b"", [["x", [-4], 0.0, 1.0]]),
        (b"\1" * 2**24, [["x", [2, 32], 0.0, 1.0]]),  # a small file that would unpack to much
        (b"", b"[" * 200_000),
        (b"", b" " * 2**27),
        (b"", [["x", [2, 32], float("nan"), 1.0]]),
        (b"", [["x", [2, 32], 1e39, 1.0]]),
    ],
)
def test_hostile_packed_parameters_are_refused_before_they_take_memory(codes, parameters, tmp_path):
    path = packed_file(tmp_path / "a.safetensors", zlib.compress(codes), parameters)
    check_refused(path, lambda tower, path: AdapterBank.from_files(tower, path))


def test_numbers_that_multiply_are_refused_before_they_take_memory(tmp_path):
    """Each number is in its range; a hundred layers of this rank would take 7 GB."""
    path = written(tmp_path / "a.safetensors", "lora:r=2", "peft")
    options = json.dumps({"r": 4096, "depth": 100})
    with_header(path, lambda config: config.update(method="peanut", options=options))
    tower = tiny_tower()
    with within(5), pytest.raises(WeightsError, match=f"{path} .* peanut: expected at most the .* of the encoder, got"):
        AdapterBank.from_files(tower, path)
