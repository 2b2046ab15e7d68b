"""`auto` is bf16 where a machine multiplies fast in it, and what a config holds is the outcome."""

import pytest
import torch

import pecl.machine
from pecl.cli import main
from pecl.machine import available_memory, cpu_has_amx, cpu_multiplies_bfloat16, resolve_precision


@pytest.fixture(params=[True, False])
def fast(request, monkeypatch):
    monkeypatch.setattr(pecl.machine, "cpu_multiplies_bfloat16", lambda: request.param)
    return request.param


@pytest.mark.parametrize(
    ("line", "has", "has_amx"),
    [
        ("flags\t\t: fpu vme avx512f avx512_bf16 clzero", True, False),
        ("flags\t\t: fpu amx_bf16 amx_tile", True, True),
        ("flags\t\t: fpu vme avx512f avx512_vnni", False, False),
        ("Features\t: fp asimd bf16", False, False),
        ("model name\t: a processor with avx512_bf16", False, False),
    ],
)
def test_what_linux_says_of_the_processor(tmp_path, line, has, has_amx):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\nbugs\t\t:\n")
    assert cpu_multiplies_bfloat16(tmp_path / "cpuinfo") is has
    assert cpu_has_amx(tmp_path / "cpuinfo") is has_amx


@pytest.mark.parametrize(
    ("amx", "multiplies", "expected"),
    [(True, True, "AMX: auto is bf16"), (False, True, "AVX512-BF16 without AMX"), (False, False, "auto is fp32")],
)
def test_doctor_states_the_form_of_bf16(monkeypatch, capsys, amx, multiplies, expected):
    monkeypatch.setattr(pecl.machine, "cpu_has_amx", lambda: amx)
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
