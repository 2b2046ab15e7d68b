"""`auto` is bf16 where a machine multiplies fast in it, and what a config holds is the outcome."""

import sys
from contextlib import suppress
from unittest.mock import MagicMock

import pytest
import torch

import pecl.machine
from pecl.machine import available_memory, cpu_multiplies_bfloat16, resolve_precision, running_ray


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


@pytest.mark.parametrize("address", [None, "10.0.0.1:6379"])
def test_a_ray_is_started_or_connected_with_and_ended(monkeypatch, address):
    ray = MagicMock()
    ray.is_initialized.return_value = False
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setenv("PECL_CACHE_DIR", "/cache")
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with suppress(KeyError), running_ray(3):
        asked = ray.init.call_args.kwargs
        assert asked["num_cpus"] == (None if address else 3)  # a cluster has its own
        assert asked["runtime_env"]["env_vars"].items() >= {"PECL_CACHE_DIR": "/cache", "TQDM_DISABLE": "1"}.items()
        assert "SECRET" not in asked["runtime_env"]["env_vars"]
        ray.shutdown.assert_not_called()
        raise KeyError
    ray.shutdown.assert_called_once_with()


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
