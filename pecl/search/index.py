"""`ImageIndex`: search in an index of photographs, by text, by picture, or by both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pecl.errors import ConfigError, DataError, unknown
from pecl.search.catalogue import HEAD, Entry, Head, damaged, find_index, read_head, root_of
from pecl.search.engines import ENGINES, Engine, Match, engine_kind
from pecl.search.thumbnails import thumbnail_file

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from pecl.search.queries import QueryEncoder
    from pecl.search.told import Told

_ATTEMPTS = 5


class Hit(NamedTuple):
    """A photograph that was found.

    Attributes:
        path: the file.
        score: cosine similarity to the query, -1 to 1.
        id: name of the photograph within the index, which tells nothing of its path.
        thumbnail: a small picture of it, where the index keeps them.
    """

    path: Path
    score: float
    id: str
    thumbnail: Path | None


class ImageIndex:
    """An open index. It shows one generation: an index that was renewed meanwhile is opened anew to see it.

    Made by `open`.

    Example:
        >>> index = pecl.ImageIndex.open("photographs")
        >>> index.search(["pes na pláži"], language="cs", top=1)[0][0].path
        PosixPath('/home/me/photographs/2019/dog.jpg')

    Attributes:
        folder: of the index.
        head: what the index says of itself.
        root: folder of the photographs.
    """

    def __init__(self, folder: Path, head: Head, engine: Engine, queries: QueryEncoder | None, device: str) -> None:
        self.folder = folder
        self.head = head
        self.root = root_of(folder, head)
        self._engine = engine
        self._queries = queries
        self._device = device
        self._adapters: tuple[str | Path, ...] = ()

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
            folder: of the index, or of photographs that have been indexed there.
            adapters: adapter files, one a language, in place of the ready ones.
            queries: towers and adapters that are loaded already, of the index's profile.
            device: where the towers go.

        Raises:
            DataError: there is no index, or it is damaged.
            ConfigError: `queries` is of another profile, or the engine needs a package that is missing.
        """
        place = find_index(folder)
        for _ in range(_ATTEMPTS):
            head = read_head(place)
            if head.engine not in ENGINES:
                raise damaged(place / HEAD, unknown("engine", head.engine, ENGINES))
            try:
                engine = engine_kind(head.engine).open(place, head)
            except FileNotFoundError:  # renewed between: its head names another generation by now
                continue
            if queries is not None and queries.profile != head.profile:
                raise ConfigError(f"queries: expected towers of {head.profile}, as the index, got {queries.profile}")
            index = cls(place, head, engine, queries, device)
            index._adapters = tuple(adapters)
            return index
        raise DataError(f"{place / HEAD}: files of its generation {head.generation} are missing: make the index anew")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.root}: {len(self)} photographs, {self.head.profile}, {self.head.engine})"

    def __len__(self) -> int:
        return self.head.count

    def __enter__(self) -> ImageIndex:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @cached_property
    def queries(self) -> QueryEncoder:
        """What embeds queries; loaded at first use.

        Raises:
            WeightsError: the towers or adapters cannot be used.
        """
        from pecl.search.queries import QueryEncoder

        queries = self._queries or QueryEncoder(self.head.profile, self._adapters, self._device)
        if queries.plain.embedding_dim != self.head.width:
            raise DataError(
                f"{self.folder / HEAD} holds embeddings of {self.head.width} numbers, and {self.head.profile} gives "
                f"{queries.plain.embedding_dim}: make the index anew"
            )
        return queries

    @cached_property
    def paths(self) -> list[Path]:
        """The files of all N photographs, in the order of `embeddings`."""
        return [self.root / name for name in self._engine.names()]

    @property
    def embeddings(self) -> np.ndarray:
        """Embeddings of all photographs, (N, D) float32 of length 1, read-only."""
        return self._engine.embeddings()

    def search(
        self,
        queries: str | Path | Image.Image | np.ndarray | torch.Tensor | Sequence[str | Path | Image.Image],
        language: str | Sequence[str] | None = None,
        *,
        minus: str | Sequence[str] | None = None,
        top: int = 10,
    ) -> list[list[Hit]]:
        """Return for each query the photographs that are most like it, most like first.

        Args:
            queries: texts (`str`), pictures (`Path` or Pillow's), or embeddings (Q, D), which are scaled to length 1.
            language: language of all texts, or of each query; None tells it from each text.
            minus: a text to lead away from, for all queries or each: its embedding is subtracted. It is in the
                language of the query.
            top: photographs for each query; fewer where the index holds fewer.

        Raises:
            ConfigError: `top` is not a whole number above 0, or a language is unknown or cannot be told.
            DataError: a query is something else, or a picture cannot be read.
        """
        if isinstance(top, bool) or not isinstance(top, int) or top < 1:
            raise ConfigError(f"top: expected a whole number >= 1, got {top!r}")
        embedded = self.embed(queries, language, minus=minus)
        return [[self._hit(match) for match in found] for found in self._engine.nearest(embedded, top)]

    def embed(
        self,
        queries: str | Path | Image.Image | np.ndarray | torch.Tensor | Sequence[str | Path | Image.Image],
        language: str | Sequence[str] | None = None,
        *,
        minus: str | Sequence[str] | None = None,
    ) -> np.ndarray:
        """Return what `search` compares with the photographs: (Q, D) float32 of length 1; arguments as there."""
        embedded = self._embed(queries, language)
        if minus is not None:
            texts = [minus] * len(embedded) if isinstance(minus, str) else list(minus)
            if len(texts) != len(embedded):
                raise ConfigError(f"minus: expected one text, or {len(embedded)} as the queries, got {len(texts)}")
            embedded = embedded - self._embed(texts, language)
        return _unit(embedded)

    def tell(self, texts: Sequence[str]) -> list[Told]:
        """Return the language that each text seems to be in; raises as `QueryEncoder.tell`."""
        return self.queries.tell(texts)

    def find(self, identity: str) -> Hit:
        """Return the photograph with this `Hit.id`; its score is NaN.

        Raises:
            DataError: the index has none.
        """
        found = self._engine.find(identity)
        if found is None:
            raise DataError(f"there is no photograph {identity!r} in the index")
        return self._hit(Match(*found, math.nan))

    def close(self) -> None:
        """Let go of the index's files."""
        self._engine.close()

    def _hit(self, match: Match) -> Hit:
        small = thumbnail_file(self.folder, match.fingerprint) if self.head.thumbnails else None
        return Hit(self.root / match.name, match.score, Entry(match.name, 0, 0, "").id, small)

    def _embed(self, queries: object, language: str | Sequence[str] | None) -> np.ndarray:
        """Return the embeddings (Q, D) of queries of one sort or of several."""
        from PIL import Image

        numbers = _as_numbers(queries, self.head.width)
        if numbers is not None:
            return numbers
        single = isinstance(queries, str | Path | Image.Image)
        if not single and not isinstance(queries, Iterable):
            raise DataError(f"queries: expected texts, pictures or embeddings, got {type(queries).__name__}")
        items = [queries] if single else list(queries)  # type: ignore[arg-type]
        for i, item in enumerate(items):
            if not isinstance(item, str | Path | Image.Image):
                raise DataError(f"queries: expected a text or a picture at position {i}, got {type(item).__name__}")
        found = np.empty((len(items), self.head.width), np.float32)
        texts = {i: item for i, item in enumerate(items) if isinstance(item, str)}
        pictures = {i: item for i, item in enumerate(items) if isinstance(item, Path | Image.Image)}
        if language is not None and not isinstance(language, str) and len(language) != len(items):
            raise ConfigError(f"{len(language)} languages for {len(items)} queries: expected one, or one a query")
        if texts:
            of_each = language if language is None or isinstance(language, str) else [language[i] for i in texts]
            found[list(texts)] = self.queries.encode_text(list(texts.values()), of_each).numpy()
        if pictures:
            self._check_image_tower()
            found[list(pictures)] = self.queries.encode_image(list(pictures.values())).numpy()
        return found

    def _check_image_tower(self) -> None:
        """Refuse to compare a picture with embeddings that another image tower made."""
        tower = self.queries.image_tower
        if tower.fingerprint != self.head.tower["fingerprint"]:
            raise DataError(
                f"{self.folder / HEAD} was made with another state of the image tower than {tower.name} is in now: "
                f"make it anew with `pecl index {self.root} --anew`"
            )


def _as_numbers(queries: object, width: int) -> np.ndarray | None:
    """Return embeddings as (Q, D) float32 of length 1; None where the queries are of another sort."""
    if not isinstance(queries, np.ndarray) and hasattr(queries, "detach"):
        queries = queries.detach().cpu().float().numpy()  # type: ignore[attr-defined]
    if not isinstance(queries, np.ndarray):
        return None
    if queries.ndim != 2 or queries.shape[1] != width or not np.isfinite(queries).all():
        raise DataError(f"queries: expected finite embeddings of shape (Q, {width}), got {queries.shape}")
    return _unit(queries.astype(np.float32))


def _unit(embeddings: np.ndarray) -> np.ndarray:
    """Return (Q, D) scaled to length 1; zeros stay zeros."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.maximum(lengths, 1e-12)
