"""Cache of translations by sentence on disk, shared by all runs."""

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pecl.errors import DataError, OutputError
from pecl.files import sha256_json

logger = logging.getLogger(__name__)

WAIT = 60.0  # seconds to wait for another process that writes
_TABLE = "checked_translations"  # the table `translations` of older versions bears no digests, and is not read


class TranslationCache:
    """A table of translations under a hash of the sentence and of all that determines its translation.

    SQLite is used because a batch is stored whole or not at all, whatever kills the process, and because several
    processes may share the file. The file is made with its folder when something is first stored.

    Raises:
        DataError: in every call, if the file is not a cache.
        OutputError: in every call, if the folder cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def get(self, identity: Mapping[str, Any], sentences: Iterable[str]) -> dict[str, str]:
        """Return the known translations by sentence; `identity` has model, revision, direction and settings."""
        if not self.path.exists():
            return {}
        found = {}
        with self._connected() as connection:
            for sentence in sentences:
                key = _key(identity, sentence)
                row = connection.execute(f"SELECT text, digest FROM {_TABLE} WHERE key = ?", (key,)).fetchone()
                if row is None:
                    continue
                if row[1] == _digest(key, str(row[0])):
                    found[sentence] = row[0]
                else:
                    logger.warning("%s: the translation of %r is damaged; it is made again", self.path, sentence)
        return found

    def put(self, identity: Mapping[str, Any], translations: Mapping[str, str]) -> None:
        """Store translations by sentence, all of them or, if the process is killed meanwhile, none."""
        keys = {_key(identity, sentence): text for sentence, text in translations.items()}
        rows = [(key, text, _digest(key, text)) for key, text in keys.items()]
        with self._connected() as connection, connection:  # the second one commits
            connection.executemany(f"INSERT OR REPLACE INTO {_TABLE} VALUES (?, ?, ?)", rows)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=WAIT)) as connection:
                columns = "key TEXT PRIMARY KEY, text TEXT NOT NULL, digest TEXT NOT NULL"
                connection.execute(f"CREATE TABLE IF NOT EXISTS {_TABLE} ({columns})")
                yield connection
        except (sqlite3.OperationalError, OSError) as error:  # no permission, full disk, locked for too long
            raise OutputError(f"cannot use the cache of translations {self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise DataError(f"{self.path} is not a cache of translations ({error}): remove it") from error


def _key(identity: Mapping[str, Any], sentence: str) -> str:
    return sha256_json({"identity": dict(identity), "sentence": sentence})


def _digest(key: str, text: str) -> str:
    return sha256_json([key, text])
