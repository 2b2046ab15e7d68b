"""Fixtures: tiny random translation models of each family, and translators with them."""

import pytest
import torch

from helpers.tiny_mt import FAMILIES
from pecl.data.translating.mt import TranslationConfig, Translator


@pytest.fixture(scope="module")
def one_thread():
    """Two threads take longer than one over so small a model."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def translation_models(tmp_path_factory):
    root = tmp_path_factory.mktemp("translation_models")
    return {family: make(root / family) for family, make in FAMILIES.items()}


def config(model, source="en", target="jp", **options):
    return TranslationConfig(str(model), source, target, **{"num_beams": 2, "max_new_tokens": 12, **options})


@pytest.fixture(scope="session")
def translators(translation_models):
    return {family: Translator(config(model)) for family, model in translation_models.items()}


@pytest.fixture
def translator(translators):
    return translators["m2m100"]
