"""`ImageIndex`: search in an index of photographs, by text, by image, or by both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pecl.apps.search.catalogue import FILE, index_folder, photograph_id, read_catalogue, read_head
from pecl.apps.search.exact import ExactSearch
from pecl.apps.search.qdrant import QdrantSearch
from pecl.apps.search.words import Selection, select
from pecl.data.language_guess import system_languages
from pecl.errors import ConfigError, DataError, not_none, shell_quoted
from pecl.files.images import ImageFiles
from pecl.retrieval.hubs import find_references

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from pecl.apps.search.queries import QueryEncoder, QueryLanguage
    from pecl.encoders.image import ImageEncoder
    from pecl.encoders.text import MultilingualTextEncoder

TOP_LIMIT = 1_000_000  # photographs of an answer


class Hit(NamedTuple):
    """A photograph that was found."""

    path: Path
    score: float  # cosine similarity to the query, -1 to 1; minus the photograph's correction if hubs were corrected
    id: str  # 32 hexadecimal digits, see `photograph_id`
    fingerprint: str  # hash of its content, by which `read_thumbnail` finds its thumbnail
    named: bool = False  # whether it has names of the query, which puts it before the others


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
        self, folder: str | Path, adapters: Iterable[str | Path], queries: QueryEncoder | None, device: str
    ) -> None:
        self.folder = find_index(folder)
        catalogue = read_catalogue(self.folder, to_search=True)
        self.head, self.root = catalogue.head, Path(catalogue.head.root)
        if queries is not None and queries.profile != self.head.profile:
            raise ConfigError(f"queries: expected towers of {self.head.profile}, as the index, got {queries.profile}")
        self._entries, self._matrix = catalogue.entries, catalogue.matrix
        self._queries, self._adapters, self._device = queries, tuple(adapters), device
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
    ) -> ImageIndex:
        """Open an index; no tower is loaded before the first query.

        Args:
            folder: folder of the index, or of photographs that have been indexed.
            adapters: paths of adapters to add to the shipped ones, one per language; `none` for no adapters.
            queries: loaded towers and adapters of the index's profile; by default they are loaded at the first query.
            device: device of the towers.

        Raises:
            DataError: there is no index, or it is damaged, or its Qdrant server does not answer.
            ConfigError: `queries` is of another profile, or the engine needs a package that is missing.
        """
        return cls(folder, adapters, queries, device)

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
        from pecl.apps.search.queries import QueryEncoder

        queries = self._queries or QueryEncoder(self.head.profile, self._adapters, self._device, self.languages)
        self._check_tower("text", queries.plain)
        return queries

    @property
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
        language: str | QueryLanguage | Sequence[str] | None = None,
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
            queries: texts (`str`), images (`Path` or Pillow's), or embeddings (Q, D), which are scaled to length 1.
            language: language of all texts, or of each query; None detects it from each text. If the detection is
                unsure, the embeddings of the likeliest languages are mixed.
            minus: negative query, one for all queries or one per query, in the language of the query: its embedding is
                subtracted.
            top: photographs per query, at most `TOP_LIMIT`; fewer if the index holds fewer.
            corrected: correct hubs for all queries or for none, see `pecl.retrieval.hubs`. By default texts without a
                negative query are corrected, if the index has corrections.
            after: only photographs that were taken on this day or later, such as 2019-07-14, 2019-07 or 2019.
            before: only photographs that were taken before this day.
            selection: result of `select` for all queries; by default `select` is called for each text.

        Raises:
            ConfigError: `top` is out of range, a language is unknown or not detected, a day is invalid, or hubs cannot
                be corrected.
            DataError: a query has another type, an image cannot be read, or embeddings have the wrong shape or NaN.
        """
        check_top(top)
        items = _items(queries, self.head.width)
        choose = cache(lambda text: selection or self.select(text, after=after, before=before))
        chosen = [choose(one if isinstance(one, str) else "") for one in items]
        if selection is None:
            items = [own.text or one for one, own in zip(items, chosen, strict=True)]
        embedded = self.embed(items, language, minus=minus)
        if corrected and self.uncorrected:
            raise ConfigError(f"corrected: {self.uncorrected}")
        can = minus is None and not self.uncorrected
        corrects = [can and isinstance(one, str) if corrected is None else corrected for one in items]
        return [self._nearest(*one, top) for one in zip(embedded, corrects, chosen, strict=True)]

    def select(
        self, text: str = "", *, after: str | None = None, before: str | None = None, folder: str = ""
    ) -> Selection:
        """Select photographs for `search` by the words of a query, days and a folder.

        Args:
            text: the query.
            after: only photographs that were taken on this day or later.
            before: only photographs that were taken before this day.
            folder: only photographs in this folder, at any depth; relative to `root`.

        Raises:
            ConfigError: a day is invalid, or the index holds no days.
        """
        found = select(self.folder, self._rows, text, languages=self.languages, after=after, before=before)
        if not folder:
            return found
        inside = [row for row, entry in enumerate(self._entries) if entry.name.startswith(f"{folder}/")]
        return found.within(np.array(inside, np.int64))

    def _nearest(self, embedding: np.ndarray, corrected: bool, selection: Selection, top: int) -> list[Hit]:
        """Return the nearest photographs of a query (D,): first those of each group in turn, then the others."""
        hits: dict[int, Hit] = {}  # by row
        searches = [(group, True) for group in selection.groups] + [(selection.rows, False)]
        for rows, named in searches:
            if len(hits) < top:
                for row, score in self._engine.nearest(embedding, top, corrected, rows):
                    hits.setdefault(row, self._hit(row, score, named))
        return list(hits.values())[:top]

    def embed(
        self,
        queries: str | Path | Image.Image | np.ndarray | torch.Tensor | Sequence[str | Path | Image.Image],
        language: str | QueryLanguage | Sequence[str] | None = None,
        *,
        minus: str | Sequence[str] | None = None,
    ) -> np.ndarray:
        """Return the embeddings (Q, D) float32 of length 1 that `search` compares; for the arguments see `search`."""
        embedded = self._embed(_items(queries, self.head.width), language)
        if minus is not None:
            texts = [minus] * len(embedded) if isinstance(minus, str) else list(minus)
            if len(texts) != len(embedded):
                raise ConfigError(f"minus: expected one text, or {len(embedded)} as the queries, got {len(texts)}")
            embedded = embedded - self._embed(texts, language)
        return _unit(embedded)

    def find(self, identity: str) -> Hit:
        """Return the photograph with this `Hit.id`; its score is NaN.

        Raises:
            DataError: the index has no such photograph.
        """
        if (row := self._by_id.get(identity)) is None:
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

    def _embed(self, items: Sequence[Any], language: str | QueryLanguage | Sequence[str] | None) -> np.ndarray:
        """Return the embeddings (Q, D) float32 of texts, images and embeddings, which may be mixed."""
        from PIL import Image

        from pecl.apps.search.queries import QueryLanguage

        found = np.empty((len(items), self.head.width), np.float32)
        texts = {i: item for i, item in enumerate(items) if isinstance(item, str)}
        pictures = {i: item for i, item in enumerate(items) if isinstance(item, Path | Image.Image)}
        for i in set(range(len(items))) - texts.keys() - pictures.keys():
            if not isinstance(items[i], np.ndarray):
                raise DataError(f"queries: expected a text or a picture at position {i}, got {type(items[i]).__name__}")
            found[i] = items[i]
        of_each = language
        if not (language is None or isinstance(language, str | QueryLanguage)):
            if len(language) != len(items):
                raise ConfigError(f"{len(language)} languages for {len(items)} queries: expected one, or one per query")
            of_each = [language[i] for i in texts]
        if texts:
            found[list(texts)] = self.queries.encode_text(list(texts.values()), of_each).numpy()
        if pictures:
            self._check_tower("image", self.queries.image_tower)
            found[list(pictures)] = self.queries.encode_image(list(pictures.values())).numpy()
        return found

    def _check_tower(self, which: str, tower: MultilingualTextEncoder | ImageEncoder) -> None:
        if tower.fingerprint != self.head.towers[which]["fingerprint"]:
            raise DataError(
                f"{self.folder / FILE} was built with different weights of the {which} tower {tower.name}: run "
                f"`pecl index {shell_quoted(self.root)} --rebuild`"
            )


def profile_of(folder: str | Path) -> str:
    """Return the profile of the index of `folder`, see `find_index`; raise DataError if there is none."""
    return read_head(find_index(folder)).profile


def find_index(folder: str | Path) -> Path:
    """Return the folder of an index: `folder` itself, or the folder of the index of its photographs.

    Raises:
        DataError: there is no index; the message says what to do.
    """
    given = Path(folder)
    if not given.is_dir():
        raise DataError(f"{folder}: expected an index, or a folder of photographs with one, found no folder")
    for place in (given, index_folder(given)):
        if (place / FILE).is_file():
            return place
    raise DataError(f"{folder}: there is no index of it: make one with `pecl index {shell_quoted(folder)}`")


def check_top(top: object) -> None:
    """Raise ConfigError unless `top` is a whole number from 1 to `TOP_LIMIT`."""
    if isinstance(top, bool) or not isinstance(top, int) or not 1 <= top <= TOP_LIMIT:
        raise ConfigError(f"top: expected a whole number from 1 to {TOP_LIMIT:,}, got {top!r}")


def _items(queries: Any, width: int) -> list[Any]:
    """Return the queries one by one, embeddings (D,) scaled to length 1."""
    if hasattr(queries, "detach"):
        queries = queries.detach().cpu().float().numpy()
    if isinstance(queries, np.ndarray):
        if queries.ndim != 2 or queries.shape[1] != width or not np.isfinite(queries).all():
            raise DataError(f"queries: expected finite embeddings of shape (Q, {width}), got {queries.shape}")
        return list(_unit(queries.astype(np.float32)))
    if isinstance(queries, str | Path) or not isinstance(queries, Iterable):
        return [queries]
    return list(queries)


def _unit(embeddings: np.ndarray) -> np.ndarray:
    """Return (Q, D) scaled to length 1; zeros stay zeros."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.maximum(lengths, 1e-12)
