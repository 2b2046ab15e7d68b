"""Faults of the store of embeddings: what is read must be what was written."""

from mutants.table import Mutant

_TEST = ("tests/encoders/test_store.py",)
_SHARDS, _STORE = "pecl/encoders/shards.py", "pecl/encoders/store.py"

MUTANTS = [
    Mutant(name, file, before, after, _TEST, science=True)
    for name, file, before, after in (
        ("changed embeddings are believed", _SHARDS, "if sha256_bytes(content) != self._digests[block]:", "if False:"),
        ("a changed index is believed", _SHARDS, 'if metadata["index"] != _index_digest(keys, rows):', "if False:"),
        ("rows counted from the first block", _SHARDS, "[rows[wanted] - first]", "[rows[wanted] % 7]"),
        ("the nearest key is taken for the key", _SHARDS, "self._hashes[places] == hashes", "places >= 0"),
        ("embeddings that are not finite are stored", _STORE, "if not torch.isfinite(embeddings).all():", "if False:"),
    )
] + [
    Mutant(name, file, before, after, _TEST)
    for name, file, before, after in (
        ("embeddings are saved at the end alone", _STORE, ">= SHARD_ROWS:", ">= 10**9:"),
        (
            "what was made before an interruption is lost",
            _STORE,
            "                if batches:\n",
            "                if not batches:\n",
        ),
        ("shards are never joined", _STORE, "        if not parts:", "        if parts:"),
        (
            "an unreadable shard counts as damaged",
            _STORE,
            'raise DataError(f"cannot read {self.folder / name}: {error.strerror or error}") from error',
            "self._drop(self.folder / name, error)",
        ),
        ("the folder is listed each time", _STORE, "if changed == self._listed_at:", "if False:"),
    )
]
