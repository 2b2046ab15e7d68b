"""Faults of search: what is found, and what an index holds after it was renewed."""

from mutants.table import Mutant

_BUILD, _INDEX = ("tests/search/test_build.py",), ("tests/search/test_index.py",)

MUTANTS = [
    Mutant(name, file, before, after, tests, science=True)
    for name, file, before, after, tests in (
        (
            "the least alike come first",
            "pecl/search/store.py",
            "np.argsort(-scores[places]",
            "np.argsort(scores[places]",
            _INDEX,
        ),
        (
            "English goes through an adapter's place",
            "pecl/adapters/banks.py",
            "if bank is None:",
            "if bank is self.banks[0]:",
            _INDEX,
        ),
        (
            "a text to lead away from is added",
            "pecl/search/index.py",
            "embedded - self._embed",
            "embedded + self._embed",
            _INDEX,
        ),
        (
            "rows that are kept are those of another",
            "pecl/search/store.py",
            "old[kept[row]]",
            "old[kept[-1 - row]]",
            _BUILD,
        ),
        (
            "a changed matrix is believed",
            "pecl/search/store.py",
            'sha256_bytes(content) != head.files.get("embeddings")',
            "False",
            _BUILD,
        ),
    )
] + [
    Mutant(
        "a touched file is embedded anew",
        "pecl/search/build.py",
        "old.fingerprint == entry.fingerprint",
        "False",
        _BUILD,
    ),
    Mutant(
        "another state of the tower goes unseen",
        "pecl/search/build.py",
        "self.head.towers != self.before.towers",
        "False",
        _BUILD,
    ),
]
