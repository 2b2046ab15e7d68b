"""Translations by sentence, kept on disk: what one run has translated, another does not translate again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pecl.errors import DataError, OutputError
from pecl.files import sha256_json

WAIT = 60.0  # seconds to wait for another process that writes


class TranslationCache:
    """A table of translations under a hash of the sentence and of all that determines its translation.

    SQLite is used because a batch is stored whole or not at all, whatever kills the process, and because several
    processes may share the file.

    Attributes:
        path: the file; made with its folder when something is first stored.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def get(self, identity: Mapping[str, Any], sentences: Iterable[str]) -> dict[str, str]:
        """Return the translations that are known, by sentence.

        Args:
            identity: model, revision, direction and settings, as JSON.
            sentences: source sentences.

        Raises:
            DataError: the file is not a cache.
        """
        if not self.path.exists():
            return {}
        found = {}
        with self._connected() as connection:
            for sentence in sentences:
                row = connection.execute("SELECT text FROM translations WHERE key = ?", (_key(identity, sentence),))
                if (text := row.fetchone()) is not None:
                    found[sentence] = text[0]
        return found

    def put(self, identity: Mapping[str, Any], translations: Mapping[str, str]) -> None:
        """Store translations by sentence, all of them or, if the process is killed meanwhile, none.

        Raises:
            DataError: the file is not a cache.
            OutputError: the folder cannot be written.
        """
        rows = [(_key(identity, sentence), text) for sentence, text in translations.items()]
        with self._connected() as connection, connection:  # the second one commits
            connection.executemany("INSERT OR REPLACE INTO translations VALUES (?, ?)", rows)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=WAIT)) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS translations (key TEXT PRIMARY KEY, text TEXT NOT NULL)")
                yield connection
        except (sqlite3.OperationalError, OSError) as error:  # no permission, full disk, locked for too long
            raise OutputError(f"cannot use the cache of translations {self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise DataError(f"{self.path} is not a cache of translations ({error}): remove it") from error


def _key(identity: Mapping[str, Any], sentence: str) -> str:
    return sha256_json({"identity": dict(identity), "sentence": sentence})
