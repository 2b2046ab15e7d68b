"""Registries as they were before a test: what it registers, the next one does not see."""

from unittest import mock

import pytest

from pecl.data.registry import DATASETS
from pecl.languages import LANGUAGES


@pytest.fixture
def registries():
    """Put the tables of languages and data sets back after the test."""
    with mock.patch.dict(LANGUAGES), mock.patch.dict(DATASETS):
        yield
