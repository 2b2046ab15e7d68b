"""Learn the maps of letters from Seed, and write those that hold into `pecl/data/respellings`.

    python scripts/make_respellings.py

A script is read through another one of its language if both have as many words in most sentences, and the map writes
most words of the sentences that are kept aside as people did.
"""

from __future__ import annotations

from dataclasses import asdict

from pecl.data.registry import load_dataset
from pecl.data.respelling import FOLDER, WORD, Respelling, learn_respelling
from pecl.files import write_json

SCRIPTS = {"bjn_arab": "bjn", "ace_arab": "ace", "taq_tfng": "taq", "ks_deva": "ks", "kr_arab": "kr"}
LEAST = 0.7  # share of sentences with as many words, and of words that are written as people did


def main() -> None:
    """Learn and judge each map."""
    for code, other in SCRIPTS.items():
        train, dev = (
            [load_dataset("seed", one, split=split).target for one in (code, other)] for split in ("train", "dev")
        )
        share = sum(len(WORD.findall(a)) == len(WORD.findall(b)) for a, b in zip(*train, strict=True)) / len(train[0])
        if share < LEAST:
            print(f"{code}: as many words as {other} in only {share:.2f} of the sentences")
            continue
        found = learn_respelling(other, *train)
        right = accuracy(found, *dev)
        if right >= LEAST:
            write_json(FOLDER / f"{code}.json", asdict(found), indent=None)
        print(f"{code}: {share:.2f} of the sentences have as many words as {other}, {right:.2f} of the words are right")


def accuracy(respelling: Respelling, texts: tuple[str, ...], others: tuple[str, ...]) -> float:
    """Return the share of words that are written as in `others`, in texts with as many words."""
    words = [
        respelling(word) == other
        for text, spelled in zip(texts, others, strict=True)
        for word, other in zip(WORD.findall(text), WORD.findall(spelled.lower()), strict=False)
        if len(WORD.findall(text)) == len(WORD.findall(spelled))
    ]
    return sum(words) / len(words)


if __name__ == "__main__":
    main()
