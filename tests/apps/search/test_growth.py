"""The work of a query grows with its text: a text of twice the length takes at most 2.5 times the work."""

import gc
import time
from itertools import count

import pytest
from helpers.metadata import photograph
from helpers.reading import restored
from helpers.small_experiment import tiny_towers

import pecl
from pecl.apps.search.build import build_index
from pecl.apps.search.dates import find_days
from pecl.apps.search.options import IndexOptions
from pecl.language.language_guess import guess_languages
from pecl.language.normalization import normalize_text

# Texts are these parts, over and over: dates, parts of dates, words of ranges, words with and without marks,
# capitals, names of the album, and letters of scripts without spaces
PARTS = (
    "2019 ",
    "12. 7. ",
    "1-",
    "od 5. do ",
    "of the ",
    "pes na plazi ",
    "EIN HUND ",
    "Rex ",
    "hund rex ",
    "東京の夜",
    "ı",
)
LEAST_SECONDS = 0.002  # of CPU
MOST_CHARACTERS = 1 << 13
NUMBERS = count(1000)


def seconds(work, text):
    """CPU time of a call, the least of four: another process, or the load of a model, can only add to it."""
    times = []
    gc.disable()
    for _ in range(4):
        written = f"{next(NUMBERS)} {text}"  # nothing is found in a cache
        start = time.process_time()
        work(written)
        times.append(time.process_time() - start)
    gc.enable()
    return min(times)


def growth(work, part):
    """How many times the work a text of twice the length takes, on the mean of three such steps."""
    copies = 1024 // len(part)
    least = seconds(work, part * copies)
    while least < LEAST_SECONDS and copies * len(part) < MOST_CHARACTERS:
        copies *= 2
        least = seconds(work, part * copies)
    return (seconds(work, part * copies * 8) / max(least, LEAST_SECONDS)) ** (1 / 3)


def names_of_an_album(tmp_path):
    for folder in ("Hund Rex 2018", "Oma 2019", "東京"):
        photograph(tmp_path / "photographs" / folder / "x.jpg")
    build_index(tmp_path / "photographs", options=IndexOptions(languages=["de", "cs"]))
    return pecl.ImageIndex.open(tmp_path / "photographs").select


STEPS = {
    "normal form": normalize_text,
    "dates": lambda text: find_days(text, ["de"]),
    "restoring, German": lambda text: restored([text], ["de"]),
    "restoring, Vietnamese": lambda text: restored([text], ["vi"]),
    "restoring, Turkish": lambda text: restored([text], ["tr"]),
    "detection among a person's languages": lambda text: guess_languages([text], ["cs", "de"], ["cs", "de"]),
    "detection among all languages": lambda text: guess_languages([text], ["cs", "de"]),
    "tokens": lambda text: tiny_towers().text.tokenize([text], "cs"),
}


@pytest.mark.parametrize("step", [*STEPS, "names"])
def test_twice_the_text_takes_at_most_two_and_a_half_times_the_work(step, towers, tmp_path):
    work = STEPS.get(step) or names_of_an_album(tmp_path)
    work("warm up")
    for part in PARTS:
        assert growth(work, part) <= 2.5, part
