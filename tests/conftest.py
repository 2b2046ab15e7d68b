"""Fixtures that several test files share."""

import logging
import os
import random
from importlib import import_module

import numpy as np
import pytest
import torch
from helpers.grid_processes import Command
from helpers.slow import SLOW
from hypothesis import HealthCheck, settings

from pecl.backends import AUTO_BACKEND, TORCH
from pecl.encoders.loading.unpacked import weights_folder
from pecl.experiment.towers import _load_once
from pecl.files.progress import OFF
from pecl.machine import AUTO_PRECISION, FP32

# Modules that keep a name of a module where tests replace it; first imported then, they would keep the replacement.
IMPORTED = "apps.bulk.job apps.commands.adapters apps.commands.export commands.languages apps.export.hub"
for name in IMPORTED.split():
    import_module(f"pecl.{name}")

pytest_plugins = [
    "helpers.browser",
    "helpers.fake_device",
    "helpers.registries",
    "helpers.small_experiment",
    "helpers.devices",
    "helpers.small_index",
    "helpers.translation_models",
]
pytest.register_assert_rewrite("helpers.run_by_hand")  # its assertions say both values, as those of a test do

# How long an example takes says nothing on a machine that does other things as well. The examples are the same each
# time, so that a commit that passed passes again; `--hypothesis-profile=pecl-search` draws others.
settings.register_profile("pecl-search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("pecl", settings.get_profile("pecl-search"), derandomize=True)
settings.load_profile("pecl")


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory):
    """Have a cache that begins empty and is no other worker's, nor that of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PECL_WEIGHTS_DIR", str(weights_folder()))  # half a gigabyte, the same for all
        patch.setenv("PECL_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("PECL_INDEX_DIR", str(tmp_path_factory.mktemp("indexes")))
        patch.setenv(AUTO_BACKEND, TORCH)  # the same numbers on every processor, and no graph to convert
        patch.setenv(AUTO_PRECISION, FP32)
        yield


@pytest.fixture(autouse=True)
def _no_other_test_is_felt(monkeypatch):
    """Have bars, levels of log lines and draws as in a new process, and no line in a file because time went by."""
    monkeypatch.setenv(OFF, "0")  # `--quiet` sets bars off in the environment, for all processes
    monkeypatch.setattr("pecl.files.progress.EVERY", 1e9)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no test cuts the power
    logging.getLogger("pecl").setLevel(logging.NOTSET)
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _nothing_is_left():
    """Give back threads, kill commands and forget towers."""
    before = torch.get_num_threads()  # cached embeddings are kept by it
    yield
    torch.set_num_threads(before)
    Command.kill_all()  # pytest would wait for them when it ends, forever for a frozen one
    _load_once.cache_clear()  # of a pair that is loaded by halves, one may be real and the other one tiny


def pytest_collection_modifyitems(items):
    for item in items:
        if f"{item.path.name}::{item.name}".startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU that torch can use"))
