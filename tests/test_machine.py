"""`auto` is bf16 where a machine multiplies fast in it, and what a config holds is the outcome."""

import pytest
import torch

import pecl.machine
from pecl.cli import main
from pecl.machine import AUTO_PRECISION, available_memory, cpu_multiplies_bfloat16, resolve_precision


@pytest.fixture(autouse=True)
def _no_choice_in_the_environment(monkeypatch):
    monkeypatch.delenv(AUTO_PRECISION, raising=False)  # that of other tests


@pytest.fixture(params=[True, False])
def fast(request, monkeypatch):
    monkeypatch.setattr(pecl.machine, "cpu_multiplies_bfloat16", lambda: request.param)
    return request.param


@pytest.mark.parametrize(
    ("line", "has"),
    [
        ("flags\t\t: fpu vme avx512f avx512_bf16 clzero", True),
        ("flags\t\t: fpu amx_bf16 amx_tile", True),
        ("flags\t\t: fpu vme avx512f avx512_vnni", False),
        ("Features\t: fp asimd bf16", False),
        ("model name\t: a processor with avx512_bf16", False),
    ],
)
def test_what_linux_says_of_the_processor(tmp_path, line, has):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\nbugs\t\t:\n")
    assert cpu_multiplies_bfloat16(tmp_path / "cpuinfo") is has


@pytest.mark.parametrize(
    ("multiplies", "expected"),
    [(True, "AVX512-BF16 or AMX: auto is bf16"), (False, "auto is fp32")],
)
def test_doctor_states_what_auto_is(monkeypatch, capsys, multiplies, expected):
    monkeypatch.setattr(pecl.machine, "cpu_multiplies_bfloat16", lambda: multiplies)
    main(["doctor"])
    line = next(line for line in capsys.readouterr().out.splitlines() if "bf16 on the processor" in line)
    assert expected in line


def test_the_memory_that_linux_says_is_available(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal:  24000 kB\nMemAvailable:   3000 kB\nCached: 12 kB\n")
    assert available_memory(tmp_path / "meminfo") == 3000 * 1024
    assert available_memory(tmp_path / "nowhere") is None


def test_auto_is_bf16_on_a_gpu_and_on_a_fast_cpu(fast, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # the GPU is that of another machine
    assert resolve_precision("auto", "cuda:1") == "bf16"
    assert resolve_precision("auto", "cpu") == ("bf16" if fast else "fp32")
    assert resolve_precision("auto", "mps") == "fp32"
    assert [resolve_precision(name, "cpu") for name in ("fp32", "bf16")] == ["fp32", "bf16"]


@pytest.mark.parametrize("has", [True, False])
def test_auto_is_fp32_on_a_gpu_without_bf16(monkeypatch, has):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has or including_emulation)
    assert resolve_precision("auto", "cuda") == ("bf16" if has else "fp32")
    assert resolve_precision("bf16", "cuda") == "bf16"
