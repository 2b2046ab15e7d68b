"""Learn maps of letters between scripts from Seed; write the reliable ones into `pecl/language/transliterations`.

    python tools/make_transliterations.py

A map spells text of one script in another script of the same language. It is written if both
scripts have the same number of words in most sentences, and if the map spells most words of the
held-out sentences as people did.

A map is learned word by word from sentences with the same number of words in both scripts. Letters
are aligned monotonically, each with no, one or several letters of the other script, by hard
expectation maximisation.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import numpy as np

from pecl.data.registry import load_dataset
from pecl.files import write_json
from pecl.language.transliteration import FOLDER, WINDOWS, WORD, Transliteration, windows_of

SCRIPTS = {"bjn_arab": "bjn", "ace_arab": "ace", "taq_tfng": "taq", "ks_deva": "ks", "kr_arab": "kr"}
# minimum share of sentences with the same number of words, and of words that are spelled as people
# did
LEAST = 0.7
MOST = 3  # maximum letters for one letter
ROUNDS = 4
FEWEST = 2  # minimum count of a context


def main() -> None:
    """Learn and judge each map."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for code, other in SCRIPTS.items():
        train, dev = (
            [load_dataset("seed", variant, split=split).target for variant in (code, other)]
            for split in ("train", "dev")
        )
        share = sum(len(WORD.findall(a)) == len(WORD.findall(b)) for a, b in zip(*train, strict=True)) / len(train[0])
        if share < LEAST:
            print(f"{code}: the same number of words as {other} in only {share:.2f} of the sentences")
            continue

        transliteration = learn_transliteration(other, *train)
        right = accuracy(transliteration, *dev)
        if right >= LEAST:
            write_json(FOLDER / f"{code}.json", asdict(transliteration), indent=None)
        print(f"{code}: {share:.2f} of the sentences have as many words in {other}, {right:.2f} of the words are right")


def accuracy(transliteration: Transliteration, texts: tuple[str, ...], others: tuple[str, ...]) -> float:
    """Return the share of words that are spelled as in `others`, over texts with the same number of words."""
    words = [
        transliteration(word) == other
        for text, spelled in zip(texts, others, strict=True)
        for word, other in zip(WORD.findall(text), WORD.findall(spelled.lower()), strict=False)
        if len(WORD.findall(text)) == len(WORD.findall(spelled))
    ]
    return sum(words) / len(words)


def learn_transliteration(language: str, texts: Iterable[str], others: Iterable[str]) -> Transliteration:
    """Learn the map from texts to their spellings `others`, which are in the script of `language`."""
    counts = Counter[tuple[str, str]]()
    for text, other in zip(texts, others, strict=True):
        pair = WORD.findall(text), WORD.findall(other.lower())
        if len(pair[0]) == len(pair[1]):
            counts.update(zip(*pair, strict=True))
    aligned = _align([(*words, count) for words, count in counts.items() if len(words[1]) <= MOST * len(words[0])])
    return Transliteration(language, _rules(aligned))


def _align(words: Sequence[tuple[str, str, int]]) -> list[tuple[str, list[str], int]]:
    """Return each word with the letters that stand for each of its letters, and its count."""
    table: dict[str, dict[str, float]] = {}
    aligned: list[tuple[str, list[str], int]] = []
    for _ in range(ROUNDS):
        aligned = [(word, _path(word, other, table), count) for word, other, count in words]
        counts = defaultdict[str, Counter[str]](Counter)
        for word, parts, count in aligned:
            for letter, part in zip(word, parts, strict=True):
                counts[letter][part] += min(count, 20)
        table = {
            letter: {part: float(np.log(count / counted.total())) for part, count in counted.items()}
            for letter, counted in counts.items()
        }

    return aligned


def _path(word: str, other: str, table: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the likeliest split of `other` into a part for each letter of `word`."""
    size = len(other) + 1
    best = [0.0] + [-np.inf] * (size - 1)

    chosen = list[list[int]]()
    for i, letter in enumerate(word):
        likely = table.get(letter)
        scores = [-np.inf] * size
        lengths = [0] * size

        for at in range(size):
            if best[at] == -np.inf:
                continue
            for length in range(min(MOST, size - 1 - at) + 1):
                if likely is None:  # first round: parts of similar length, along the diagonal
                    score = -abs(length - 1) - abs((at + length) / max(size - 1, 1) - (i + 1) / len(word))
                else:
                    score = likely.get(other[at : at + length], -12.0)
                if best[at] + score > scores[at + length]:
                    scores[at + length], lengths[at + length] = best[at] + score, length

        best = scores
        chosen.append(lengths)

    parts = list[str]()
    at = size - 1
    for lengths in reversed(chosen):
        parts.append(other[at - lengths[at] : at])
        at -= lengths[at]

    return parts[::-1]


def _rules(aligned: Iterable[tuple[str, Sequence[str], int]]) -> dict[str, str]:
    """Return the letters for each window; a wider window only if its letters differ from the narrower window's."""
    counts = defaultdict[str, Counter[str]](Counter)
    for word, parts, count in aligned:
        for i, part in enumerate(parts):
            for window in windows_of(word, i):
                counts[window][part] += count

    rules: dict[str, str] = {}
    for window in sorted(counts, key=len):
        (part, count), *_ = counts[window].most_common(1)
        before, letter, behind = window.split(".")
        word = before + letter + behind
        narrower = next((rules[one] for one in _windows_within(before, letter, behind) if one in rules), None)
        if (count >= FEWEST or len(word) == 1) and part != narrower:
            rules[window] = part

    return rules


def _windows_within(before: str, letter: str, behind: str) -> list[str]:
    """Return the narrower windows of one, from the widest to the narrowest."""
    narrower = [(left, right) for left, right in WINDOWS if left + right < len(before) + len(behind)]
    return [f"{before[len(before) - left :]}.{letter}.{behind[:right]}" for left, right in reversed(narrower)]


if __name__ == "__main__":
    main()
