"""Whatever lies in a file, a parser returns, or raises one sentence that names the file."""

import random

import pytest
from helpers.parsers import damage, make_parsers
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pecl.errors import PeclError

NAMES = (
    *("yaml", "result", "manifest", "retrieved", "csv", "jsonl", "parquet", "gzip", "downloads", "provenance"),
    *("state", "adapter", "peft", "released", "index", "model config"),
    *("modules.json", "1_Pooling/config.json", "config_sentence_transformers.json"),
)


@pytest.fixture(scope="module")
def parsers(tmp_path_factory):
    return make_parsers(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def place(parsers, tmp_path_factory):
    """Return a function: name of a parser -> path of its file, with what belongs next to it."""

    def prepare(name):
        folder = tmp_path_factory.mktemp("parser")
        for path, content in {parsers[name].path: b"", **parsers[name].neighbour}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        return folder / parsers[name].path

    return prepare


@pytest.mark.parametrize("name", NAMES)
def test_sound_files_are_read_and_a_damaged_one_is_one_sentence(parsers, place, name):
    assert set(parsers) == set(NAMES)
    path = place(name)
    for content in parsers[name].sound:
        path.write_bytes(content)
        parsers[name].read(path)
    fuzz(parsers[name], path, 60)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_ten_thousand_damaged_files_are_one_sentence_each(parsers, place, name):
    fuzz(parsers[name], place(name), 10_000, derandomize=False)  # others each time


def fuzz(parser, path, examples, **more):
    refused = []

    @settings(max_examples=examples, database=None, phases=[Phase.generate], **more)  # a seed has nothing to shrink
    @given(st.integers(0, 2**64))
    def check(seed):
        path.write_bytes(damage(random.Random(seed), parser.sound))
        refused.append(is_refused(parser, path))

    check()
    assert any(refused), "no damage was noticed: is the file read?"


def is_refused(parser, path):
    """Say whether the file is refused; an error must be a sentence of ours, which names the file or its folder."""
    try:
        parser.read(path)
    except PeclError as error:
        sentence = str(error)
    else:
        return False
    assert "\n" not in sentence
    assert (
        path.name in sentence or str(path.parent) in sentence or path.name == "task.yaml"
    )  # a task may come by a pipe
    return True
