"""The files of data sets that can be downloaded, with addresses and SHA-256."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from pecl.data.captions import read_captions
from pecl.data.reading import coco_split
from pecl.errors import DataError, unknown
from pecl.files import load_json

COCO_IMAGES = "https://s3.amazonaws.com/images.cocodataset.org"  # the name itself has no certificate of its own


@dataclass(frozen=True)
class RemoteFile:
    """One file to fetch, and its path relative to the data directory, with forward slashes."""

    path: str
    url: str
    sha256: str | None = None  # None where it is not known: a photograph must decode then, and text be UTF-8

    @property
    def is_text(self) -> bool:
        """Whether it is text, not a photograph."""
        return PurePosixPath(self.path).suffix.lower() not in (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Download:
    """One row of the table of downloads; its name is also its folder in the data directory."""

    description: str
    base_url: str
    checksums: Mapping[str, Mapping[str, str | None]]  # folder, relative to `base_url` -> file name -> SHA-256
    note: str = ""  # remaining steps for the user, with `{folder}` for the data set's folder


def _read_table() -> dict[str, Download]:
    rows, checksums = (load_json(Path(__file__).with_name(name)) for name in ("downloads.json", "checksums.json"))
    return {name: Download(**row, checksums=checksums[name]) for name, row in rows.items()}


DOWNLOADS: dict[str, Download] = _read_table()


def caption_files(name: str, mirror: str | None = None) -> list[RemoteFile]:
    """Return the text files of the download `name`, from its owner or from a mirror (see `_url`)."""
    if name not in DOWNLOADS:
        raise DataError(unknown("download", name, DOWNLOADS))
    row, files = DOWNLOADS[name], []
    for folder, checksums in row.checksums.items():
        for file_name, sha256 in checksums.items():
            inner = (PurePosixPath(folder) / file_name).as_posix()
            path = f"{name}/{inner}"
            files.append(RemoteFile(path, _url(f"{row.base_url}/{inner}", path, mirror), sha256))
    return files


def xtd10_images(data_dir: Path, mirror: str | None = None) -> list[RemoteFile]:
    """Return the 1,000 images that XTD10's list names, each on its own: COCO's archives are 19 GB."""
    names_file = data_dir / "xtd10" / "XTD10" / "test_image_names.txt"
    files = []
    for name in read_captions(names_file):
        path = f"xtd10/images/{name}"
        files.append(RemoteFile(path, _url(f"{COCO_IMAGES}/{coco_split(name)}/{name}", path, mirror)))
    return files


def _url(owner_url: str, path: str, mirror: str | None) -> str:
    """Return the owner's address or, for a mirror, that of the same path: a mirror is laid out as a data directory."""
    return owner_url if mirror is None else f"{mirror.rstrip('/')}/{quote(path)}"
