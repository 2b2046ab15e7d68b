"""`ImageIndex`: search in an index of photographs, by text, by image, or by both."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pecl.apps.search.catalogue import FILE, index_folder, photograph_id, read_catalogue, read_head, shown_name
from pecl.apps.search.exact import ExactSearch
from pecl.apps.search.languages import system_languages
from pecl.apps.search.qdrant import QdrantSearch
from pecl.apps.search.query import Query, make_queries
from pecl.apps.search.words import Selection, select
from pecl.backends import check_backend
from pecl.errors import ConfigError, DataError, command, not_none, shell_quoted
from pecl.files.images import ImageFiles
from pecl.machine import AUTO
from pecl.retrieval.hubs import find_references

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from pecl.apps.search.encoder import QueryEncoder
    from pecl.encoders.image import ImageEncoder
    from pecl.encoders.text import MultilingualTextEncoder

TOP_LIMIT = 1_000_000  # photographs of an answer
_SAMPLE = 256  # photographs from which the spread of a query's scores is known


class Hit(NamedTuple):
    """A photograph that was found."""

    path: Path
    # cosine similarity to the query, -1 to 1; minus the photograph's correction if hubs were corrected
    score: float
    id: str  # 32 hexadecimal digits, see `photograph_id`
    fingerprint: str  # hash of its content, by which `read_thumbnail` finds its thumbnail
    named: bool = False  # whether a name of the query puts it before the others


class ImageIndex:
    """An open index, in the state of its opening: open it again to see later updates.

    Made by `open`.

    Example:
        >>> index = pecl.ImageIndex.open("photographs")
        >>> index.search(["pes na pláži"], language="cs", top=1)[0][0].path
        PosixPath('/home/me/photographs/2019/dog.jpg')

    Attributes:
        folder: folder of the index.
        head: metadata of the index.
        root: folder of the photographs.
    """

    def __init__(
        self,
        folder: str | Path,
        adapters: Iterable[str | Path],
        queries: QueryEncoder | None,
        device: str,
        backend: str,
        precision: str,
    ) -> None:
        check_backend(backend, device, precision)
        self.folder = find_index(folder).absolute()
        catalogue = read_catalogue(self.folder, to_search=True)
        self.head, self.root = catalogue.head, Path(catalogue.head.root)
        if queries is not None and queries.profile != self.head.profile:
            raise ConfigError(
                f"expected towers of {self.head.profile}, as the index, got {queries.profile}", field="queries"
            )

        self._entries = catalogue.entries
        # an index among its photographs moves with them
        if not self.root.is_dir() and any((self.folder / entry.name).is_file() for entry in self._entries):
            self.root = self.folder
        self._matrix = catalogue.matrix
        self._queries = queries
        self._adapters = tuple(adapters)

        self._device = device
        self._backend = backend
        self._precision = precision
        if self._matrix is None:
            self._engine = QdrantSearch(self.head.url, self.head.collection, self._entries)
        else:
            self._engine = ExactSearch(self._matrix, catalogue.corrections)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        adapters: Iterable[str | Path] = (),
        queries: QueryEncoder | None = None,
        device: str = "cpu",
        backend: str = AUTO,
        precision: str = AUTO,
    ) -> ImageIndex:
        """Open an index; no tower is loaded before the first query.

        Args:
            folder: folder of the index, or of photographs that have been indexed.
            adapters: paths of adapters to add to the shipped ones, one per language; `none` for no adapters.
            queries: loaded towers and adapters of the index's profile; by default they are loaded
                at the first query.
            device: device of the towers.
            backend: package that computes the towers' layers: torch, openvino, or auto, which is OpenVINO where it
                is installed.
            precision: arithmetic of the towers: fp32, bf16, or auto, which is bf16 where it is faster.

        Raises:
            DataError: there is no index, or it is damaged, or its Qdrant server does not answer.
            ConfigError: `queries` is of another profile, or the engine or the backend needs a
                package that is missing.
        """
        return cls(folder, adapters, queries, device, backend, precision)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.root}: {len(self)} photographs, {self.head.profile}, {self.head.engine})"

    def __len__(self) -> int:
        return len(self._entries)

    def __enter__(self) -> ImageIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def queries(self) -> QueryEncoder:
        """Encoder of queries, loaded at first use. Its text tower is the one that the index was made for.

        Raises:
            WeightsError: the towers or adapters cannot be used.
            DataError: the text tower is not the one that the index was made for.
        """
        from pecl.apps.search.encoder import QueryEncoder

        queries = self._queries or QueryEncoder(
            self.head.profile, self._adapters, self._device, self.languages, self._backend, self._precision
        )
        self._check_tower("text", queries.plain)
        return queries

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that the person speaks: those of the index, or of the system."""
        return self.head.languages or system_languages()

    @cached_property
    def paths(self) -> list[Path]:
        """The files of all N photographs, in the order of `embeddings`."""
        return [self.root / entry.name for entry in self._entries]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {entry.name: row for row, entry in enumerate(self._entries)}

    @cached_property
    def _by_id(self) -> dict[str, int]:
        return {photograph_id(entry.name): row for row, entry in enumerate(self._entries)}

    @cached_property
    def uncorrected(self) -> str:
        """The reason why the index cannot correct hubs, see `pecl.retrieval.hubs`; empty if it can."""
        if self.head.engine != "exact":
            return f"the engine {self.head.engine} cannot subtract corrections"
        if self.head.references:
            return ""
        if find_references(self.head.profile, self.head.fingerprints) is None:
            return f"no reference captions are known for these towers ({self.head.profile})"
        return f"the index was made without corrections: run `pecl index {shell_quoted(self.root)}`"

    @property
    def embeddings(self) -> np.ndarray:
        """Embeddings of all photographs, (N, D) float32 of length 1, read-only."""
        return not_none(read_catalogue(self.folder).matrix if self._matrix is None else self._matrix, "embeddings")

    def search(
        self,
        queries: str | Path | Image.Image | np.ndarray | torch.Tensor | Sequence[str | Path | Image.Image],
        language: str | Sequence[str] | None = None,
        *,
        minus: str | Sequence[str] | None = None,
        top: int = 10,
        corrected: bool | None = None,
        after: str | None = None,
        before: str | None = None,
        selection: Selection | None = None,
    ) -> list[list[Hit]]:
        """Return the photographs of each query, most similar first; photographs with names of the text precede these.

        Args:
            queries: texts (`str`), images (`Path` or Pillow's), or embeddings (Q, D), which are
                scaled to length 1.
            language: language of all texts, or of each query; None detects it from each query. If
                the detection is unsure, the embeddings of the likeliest languages are mixed.
            minus: negative query, one for all queries or one per query, in the language of the
                query: its embedding is subtracted.
            top: photographs per query, at most `TOP_LIMIT`; fewer if the index holds fewer.
            corrected: correct hubs for all queries or for none, see `pecl.retrieval.hubs`. By
                default texts without a negative query are corrected, if the index has corrections.
            after: only photographs that were taken on this day or later, such as 2019-07-14,
                2019-07 or 2019.
            before: only photographs that were taken before this day.
            selection: result of `select` for all queries; by default `select` is called for each text.

        Raises:
            ConfigError: `top` is out of range, a language is unknown or not detected, a day is
                invalid, or hubs cannot be corrected.
            DataError: a query has another type, an image cannot be read, or embeddings have the
                wrong shape or NaN.
        """
        check_top(top)
        query_list = make_queries(queries, self.head.width, language, minus)
        if selection is None:
            texts = [query.text or "" for query in query_list]
            by_text = {text: self.select(text, after=after, before=before) for text in dict.fromkeys(texts)}
            selections = [by_text[text] for text in texts]
            query_list = [query.without_dates(by_text[text]) for query, text in zip(query_list, texts, strict=True)]
        else:
            selections = [selection] * len(query_list)

        embeddings = self.embed_queries(query_list)

        if corrected and self.uncorrected:
            raise ConfigError(f"{self.uncorrected}", field="corrected")

        results = []
        for query, embedding, selected in zip(query_list, embeddings, selections, strict=True):
            corrects = self.corrects(query) if corrected is None else corrected
            results.append(self.nearest(embedding, selected, corrects, top))

        return results

    def select(
        self,
        text: str = "",
        *,
        after: str | None = None,
        before: str | None = None,
        folder: str = "",
        languages: Sequence[str] | None = None,
        not_names: Sequence[str] = (),
    ) -> Selection:
        """Select photographs for `search` by the words of a query, days and a folder.

        Args:
            text: the query.
            after: only photographs that were taken on this day or later.
            before: only photographs that were taken before this day.
            folder: only photographs in this folder, at any depth; relative to `root`, in any case.
            languages: codes of the languages that the person speaks, by default those of the index.
            not_names: words of the query that do not count as names.

        Raises:
            ConfigError: a day is invalid, or the index holds no days.
        """
        spoken = self.languages if languages is None else languages
        selection = select(
            self.folder, self._rows, text, languages=spoken, after=after, before=before, not_names=not_names
        )
        if not folder:
            return selection
        start = _folded(f"{folder}/")
        inside = [row for row, entry in enumerate(self._entries) if _folded(entry.name).startswith(start)]
        return selection.within(np.array(inside, np.int64))

    def select_for(self, query: Query, languages: Sequence[str] | None = None) -> Selection:
        """Select photographs by the names, days and folder of a query, see `select`."""
        selection = self.select(
            query.text or "",
            after=query.after,
            before=query.before,
            folder=query.folder,
            languages=languages,
            not_names=query.not_names,
        )
        return selection if query.names else selection.without_names()

    def corrects(self, query: Query) -> bool:
        """Return whether hubs are corrected for a query: a text, in an index with corrections."""
        return query.is_text and not self.uncorrected

    def nearest(self, embedding: np.ndarray, selection: Selection, corrected: bool, top: int) -> list[Hit]:
        """Return the nearest photographs of a query's embedding (D,) of length 1, best first.

        Names of the query add to the similarity of some (`selection.groups`), but not to their score.
        """
        spread = self._spread(embedding, corrected) if selection.groups else 0.0
        hits: dict[int, tuple[float, Hit]] = {}  # by row, with the sum of score and bonus
        for rows, bonus, leads in (*selection.groups, (selection.rows, 0.0, False)):
            for row, score in self._engine.nearest(embedding, top, corrected, rows):
                hits.setdefault(row, (score + bonus * spread, self._hit(row, score, leads)))

        best = sorted(hits, key=lambda row: (-hits[row][0], row))[:top]
        return [hits[row][1] for row in best]

    def _spread(self, embedding: np.ndarray, corrected: bool) -> float:
        """Return the standard deviation of the scores of a query's embedding (D,), from some photographs."""
        sample = np.unique(np.linspace(0, len(self) - 1, _SAMPLE).astype(np.int64))
        scores = [score for _, score in self._engine.nearest(embedding, _SAMPLE, corrected, sample)]
        return max(float(np.std(scores)), 1e-6)

    def embed(
        self,
        queries: str | Path | Image.Image | np.ndarray | torch.Tensor | Sequence[str | Path | Image.Image],
        language: str | Sequence[str] | None = None,
        *,
        minus: str | Sequence[str] | None = None,
    ) -> np.ndarray:
        """Return the embeddings (Q, D) float32 of length 1 that `search` compares; for the arguments see `search`."""
        return self.embed_queries(make_queries(queries, self.head.width, language, minus))

    def embed_queries(self, queries: Sequence[Query]) -> np.ndarray:
        """Return the embeddings (Q, D) float32 of length 1 of queries, see `pecl.apps.search.encoder.embed_queries`."""
        if all(query.is_embedding for query in queries):  # no tower is loaded
            embeddings = [query.embedding for query in queries]
            return np.array(embeddings, np.float32).reshape(len(queries), self.head.width)
        if any(query.image is not None for query in queries):
            self._check_tower("image", self.queries.image_tower)
        return self.queries.embed(queries).numpy()

    def find(self, identity: str) -> Hit:
        """Return the photograph with this `Hit.id`; its score is NaN.

        Raises:
            DataError: the index has no such photograph.
        """
        row = self._by_id.get(identity)
        if row is None:
            raise DataError(f"there is no photograph {identity!r} in the index")
        return self._hit(row, math.nan)

    def open_image(self, hit: Hit) -> Image.Image:
        """Return a photograph of the index in RGB mode.

        Raises:
            DataError: it cannot be read.
        """
        return ImageFiles((hit.path,)).load(0)

    def close(self) -> None:
        """Close the index's files and connections."""
        self._engine.close()

    def _hit(self, row: int, score: float, named: bool = False) -> Hit:
        entry = self._entries[row]
        return Hit(self.root / entry.name, score, photograph_id(entry.name), entry.fingerprint, named)

    def _check_tower(self, which: str, tower: MultilingualTextEncoder | ImageEncoder) -> None:
        if tower.fingerprint != self.head.towers[which]["fingerprint"]:
            raise DataError(
                f"{self.folder / FILE} was built with different weights of the {which} tower {tower.name}: run "
                f"{command('index', str(self.root), rebuild=True)}"
            )


def _folded(name: str) -> str:
    """Return the name of a file or folder without the difference of capitals, and of two ways to write a mark."""
    return unicodedata.normalize("NFC", shown_name(name)).casefold()


def profile_of(folder: str | Path) -> str:
    """Return the profile of the index of `folder`, see `find_index`; raise DataError if there is none."""
    return read_head(find_index(folder)).profile


def find_index(folder: str | Path) -> Path:
    """Return the folder of an index: `folder` itself, or the folder of the index of its photographs.

    Raises:
        DataError: there is no index; the message has the remedy.
    """
    path = Path(folder)
    if not path.is_dir():
        raise DataError(f"{folder}: expected an index, or a folder of photographs with one, found no folder")
    for candidate in (path, index_folder(path)):
        if (candidate / FILE).is_file():
            return candidate
    raise DataError(f"{folder}: there is no index of it: make one with `pecl index {shell_quoted(folder)}`")


def check_top(top: object) -> None:
    """Raise ConfigError unless `top` is a whole number from 1 to `TOP_LIMIT`."""
    if isinstance(top, bool) or not isinstance(top, int) or not 1 <= top <= TOP_LIMIT:
        raise ConfigError(f"expected a whole number from 1 to {TOP_LIMIT:,}, got {top!r}", field="top")
