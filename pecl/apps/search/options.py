"""Options of an index, and the head for an update of it."""

import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pecl.apps.search.catalogue import FILE, Head, read_head
from pecl.apps.search.languages import named_languages
from pecl.backends import check_backend
from pecl.errors import ConfigError, setting, unknown
from pecl.machine import AUTO

SEARCH_ENGINES = ("exact", "qdrant")
BUSY = "the index {} is being updated by another process"
_DECODERS = ("pillow", "pillow-heif", "pillow-jxl-plugin")


@dataclass(frozen=True)
class IndexOptions:
    """Options of an index; None keeps the existing index's value.

    Attributes:
        profile: name of the pair of towers, by default mini.
        thumbnails: whether the index holds thumbnails, by default not.
        engine: vector backend, `exact` (by default) or `qdrant`.
        url: address of the Qdrant server.
        rebuild: embed all photographs again, and use nothing of the existing index.
        device: device of the image tower.
        languages: names or codes of the languages that the person speaks, among which language
            detection chooses; by default those of the system, and English.
        words: whether the index holds names, captions, keywords, people and days of photographs, by default yes.
        backend: package that computes the image tower's layers: torch, openvino, or auto, which is OpenVINO where it
            is installed and there are enough photographs; each updates any index.
    """

    profile: str | None = None
    thumbnails: bool | None = None
    engine: str | None = None
    url: str | None = None
    rebuild: bool = False
    device: str = "cpu"
    languages: Sequence[str] | None = None
    words: bool | None = None
    backend: str = AUTO

    def check(self) -> None:
        """Raise ConfigError if an option is wrong for any index."""
        if self.engine is not None and self.engine not in SEARCH_ENGINES:
            raise ConfigError(unknown("engine", self.engine, SEARCH_ENGINES))
        if self.url is not None and self.engine == "exact":
            raise _unexpected_url()

        if self.languages is not None:
            named_languages(self.languages)

        check_backend(self.backend, self.device)
        if self.profile is None and self.device == "cpu":
            return  # nothing to look up, so nothing heavy to import

        from pecl.encoders.towers import PAIRS, check_device

        if self.profile is not None and self.profile not in PAIRS:
            raise ConfigError(unknown("profile", self.profile, PAIRS))
        check_device(self.device)


def check_same(index_path: Path, root: Path, options: IndexOptions) -> None:
    """Check that an index in `index_path` may be updated with `options`; a rebuild replaces any index.

    Raises:
        DataError: it is damaged.
        ConfigError: it belongs to another folder than `root`, or an option differs that only a
            rebuild may change.
    """
    if options.rebuild or not (index_path / FILE).exists():
        return

    head = read_head(index_path)
    way_on = f"leave it out, or make the index again with {setting(rebuild=True)}"
    if Path(head.root) != root.resolve():
        raise ConfigError(
            f"{index_path} is the index of {head.root}, got {root.resolve()}: name another one with {setting('out')}"
        )

    for name, value in {"profile": options.profile, "engine": options.engine, "url": options.url}.items():
        if value not in (None, getattr(head, name)):
            raise ConfigError(f"{index_path} has {getattr(head, name) or 'none'}, got {value}: {way_on}", field=name)


def _unexpected_url() -> ConfigError:
    problem = f"expected it only with {setting(engine='qdrant')}; {setting('out')} names the index's folder"
    return ConfigError(problem, field="url")


def new_head(root: Path, earlier: Head | None, options: IndexOptions) -> Head:
    """Return the head for an update; towers, references and generation are still those of `earlier`."""
    url = options.url or (earlier.url if earlier and options.engine in (None, earlier.engine) else "")
    if options.engine == "qdrant" and not url:
        raise ConfigError(f"expected the address of a server with {setting(engine='qdrant')}", field="url")
    if options.engine is None and options.url and not (earlier and earlier.url):
        raise _unexpected_url()

    head = Head(str(root.resolve()), "mini") if earlier is None else replace(earlier, root=str(root.resolve()))
    if options.rebuild or earlier is None:
        collection = f"pecl-{secrets.token_hex(8)}" if url else ""
        head = replace(head, towers={}, width=0, references="", url=url, collection=collection)

    return replace(
        head,
        profile=options.profile or head.profile,
        thumbnails=head.thumbnails if options.thumbnails is None else options.thumbnails,
        languages=head.languages if options.languages is None else named_languages(options.languages),
        words=head.words if options.words is None else options.words,
        decoders=_decoders(),
    )


def _decoders() -> str:
    versions = []
    for name in _DECODERS:
        with contextlib.suppress(PackageNotFoundError):
            versions.append(f"{name} {version(name)}")
    return ", ".join(versions)
