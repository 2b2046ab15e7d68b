"""Fixtures that several test files share."""

import pytest
import torch
from hypothesis import HealthCheck, settings

from pecl.progress import OFF

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

# How long an example takes says nothing on a machine that does other things as well.
settings.register_profile("pecl", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pecl")


@pytest.fixture(autouse=True)
def _bars_are_on(monkeypatch):
    """Have bars whatever a test before asked for: `--quiet` sets them off in the environment, for all processes."""
    monkeypatch.setenv(OFF, "0")


@pytest.fixture(autouse=True)
def _threads_stay():
    """Give back the threads that a test changes: cached embeddings are kept by their number."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU that torch can use"))
