"""Models: banks by spec on towers that share their weights; each job is answered by itself."""

import pytest
import torch
from helpers.serving import LANGUAGES, adapter_files, expected, make_models, plain_tower
from helpers.tiny import sentences

from pecl.apps.serving.models import Models, TextJob
from pecl.errors import NotFiniteError

TEXTS = sentences(14, seed=5)
ADAPTERS = [*LANGUAGES, None, "cs"]


@pytest.fixture
def models():
    return make_models()


def embed(models, texts, adapters, **options):
    (answer,) = models.embed([TextJob(texts, adapters, **options)])
    if isinstance(answer, Exception):
        raise answer
    return answer


def test_a_job_that_cannot_be_done_fails_alone(models):
    long = "a" * 200
    jobs = [TextJob([TEXTS[0]], ["de"]), TextJob(["b", long], ["de", "de"]), TextJob([TEXTS[1]], ["gone"])]
    models.add("bad", adapter_files(("bad",))[0])
    spec, slot = models.slot("bad")
    for parameter in spec.adapter.parameters():  # in memory: a file with such values is refused
        parameter.data[slot] = torch.nan
    sound, cut, gone, damaged = models.embed([*jobs, TextJob(["a"], ["bad"])])
    assert isinstance(damaged, NotFiniteError)
    assert "adapters used: bad" in str(damaged)
    torch.testing.assert_close(sound.embeddings, expected(TEXTS[:1], ["de"]), rtol=0, atol=1e-5)
    assert str(cut) == "input: text 1 has 202 tokens, the tower's limit is 128: shorten it, or send truncate: true"
    assert (gone.status_code, gone.code) == (404, "model_not_found")
    assert embed(models, [long], ["de"], truncate=True).tokens == 128


def test_adapters_serve_a_tower_that_is_rounded():
    models, before = Models("tiny", plain_tower()), plain_tower()
    models.tower.use_bfloat16()
    for file in adapter_files():
        models.add(file.language, file)
    found = embed(models, TEXTS, ADAPTERS).embeddings
    torch.testing.assert_close(found, expected(TEXTS, ADAPTERS), rtol=0, atol=0.02)
    assert {bank.tower.fingerprint for bank in models.specs} == {before.fingerprint}


def test_the_parts_of_a_job_count_their_texts_within_the_request():
    parts = TextJob([*"abcde"], [None, "de", None, "cs", "fr"], "input").parts(2)
    assert [(one.first, one.texts, one.adapters) for one in parts] == [
        (0, ["a", "b"], [None, "de"]),
        (2, ["c", "d"], [None, "cs"]),
        (4, ["e"], ["fr"]),
    ]
