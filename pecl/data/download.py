"""Download data sets into the data directory: many small files in parallel, with a record of their hashes.

`downloads.json` and `checksums.json` have the files of each data set, with addresses and SHA-256. A
file is fetched whole each time: published files are small, and their SHA-256 is known. The code
uses urllib, which has no client that threads would share, and takes a proxy from the environment.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, build_opener

from pecl.data.captions import read_captions
from pecl.data.reading import coco_split, provenance_file, read_provenance
from pecl.errors import ConfigError, DataError, setting, unknown
from pecl.files import load_json, read_regular, sha256_bytes, write_bytes, write_json
from pecl.files.images import decode_picture
from pecl.files.progress import Bar

logger = logging.getLogger(__name__)

# images.cocodataset.org has no certificate
COCO_IMAGES = "https://s3.amazonaws.com/images.cocodataset.org"
MANIFEST = "download.json"
MAX_FAILURES = 10  # after so many failed files the rest is not tried: the server is at fault
MAX_NAMED = 3  # failed files that the error names; all of them are logged
DownloadRecord = dict[str, Any]
USER_AGENT = "pecl (Python; research data sets)"
RETRYABLE = (408, 425, 429, 500, 502, 503, 504)
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
_LONGEST_WAIT = 60.0  # seconds that a server may ask for in `Retry-After`


@dataclass(frozen=True)
class RemoteFile:
    """One file to fetch, and its path relative to the data directory, with forward slashes."""

    path: str
    url: str
    sha256: str | None = None  # None if unknown: then an image must decode, and text must be UTF-8


@dataclass(frozen=True)
class Download:
    """One row of the table of downloads; its name is also its folder in the data directory."""

    description: str
    base_url: str
    # folder, relative to `base_url` -> file name -> SHA-256
    checksums: Mapping[str, Mapping[str, str | None]]
    note: str = ""  # remaining steps for the user, with `{folder}` for the data set's folder


_ROWS, _CHECKSUMS = (load_json(Path(__file__).with_name(name)) for name in ("downloads.json", "checksums.json"))
DOWNLOADS = {name: Download(**row, checksums=_CHECKSUMS[name]) for name, row in _ROWS.items()}


def caption_files(name: str, mirror: str | None = None) -> list[RemoteFile]:
    """Return the text files of a download, from its owner or a mirror (see `_url`). Raise DataError if unknown."""
    if name not in DOWNLOADS:
        raise DataError(unknown("download", name, DOWNLOADS))

    files = []
    for folder, checksums in DOWNLOADS[name].checksums.items():
        for file_name, sha256 in checksums.items():
            inner = (PurePosixPath(folder) / file_name).as_posix()
            owner_url = f"{DOWNLOADS[name].base_url}/{inner}"
            path = f"{name}/{inner}"
            files.append(RemoteFile(path, _url(owner_url, path, mirror), sha256))

    return files


def xtd10_images(data_dir: Path, mirror: str | None = None) -> list[RemoteFile]:
    """Return the 1,000 images that XTD10's list names, each as a file of its own: COCO's archives have 19 GB."""
    names = read_captions(data_dir / "xtd10" / "XTD10" / "test_image_names.txt")
    urls = {f"xtd10/images/{name}": f"{COCO_IMAGES}/{coco_split(name)}/{name}" for name in names}
    return [RemoteFile(path, _url(url, path, mirror)) for path, url in urls.items()]


def _url(owner_url: str, path: str, mirror: str | None) -> str:
    """Return the owner's address or, for a mirror, that of the same path: a mirror is laid out as a data directory."""
    return owner_url if mirror is None else f"{mirror.rstrip('/')}/{quote(path)}"


class FetchError(DataError):
    """A file could not be fetched."""


class UnreachableError(FetchError):
    """A server could not be reached at all, so its other files need not be tried."""


@dataclass(frozen=True)
class FetchPolicy:
    """Time-outs and retries of a fetch."""

    timeout: float = 30.0  # seconds for which a server may stay silent
    attempts: int = 5  # the first included
    # seconds before the second attempt; doubled before each further one, up to 8
    backoff: float = 1.0


def check_address(url: str) -> None:
    """Raise FetchError unless `url` is https, or http to this machine."""
    try:
        parts = urlsplit(url)
    except ValueError as error:  # as of http://[::1
        raise FetchError(f"expected an address https://..., got {url} ({error})") from error
    is_local = parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS
    if not parts.hostname or not (parts.scheme == "https" or is_local):
        raise FetchError(f"expected an address https://..., got {url}")


def fetch(
    url: str,
    check: Callable[[bytes], None],
    policy: FetchPolicy,
    stopped: threading.Event,
) -> bytes:
    """Return the content of a file.

    `check` raises DataError for wrong content; no attempt begins once `stopped` is set
    (CancelledError). Raise FetchError if the address is not https, the server refuses, or all attempts failed.
    """
    check_address(url)
    request = Request(url, headers={"User-Agent": USER_AGENT})

    wait = 0.0
    for attempt in range(1, policy.attempts + 1):
        if stopped.wait(wait):
            raise CancelledError

        wait = min(policy.backoff * 2 ** (attempt - 1), 8.0)
        kind = FetchError
        try:
            with build_opener().open(request, timeout=policy.timeout) as response:
                content = response.read()
            check(content)
            return content
        except HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            retry_after = error.headers.get("Retry-After", "")
            if error.code not in RETRYABLE:
                raise FetchError(reason) from error
            wait = max(wait, float(retry_after) if retry_after.isdecimal() else 0.0)
            if wait > _LONGEST_WAIT:
                message = f"the server asks for a wait of {wait:,.0f} seconds; run the same command then"
                raise FetchError(f"{reason}: {message}") from error
        except URLError as error:
            reason = f"no connection: {error.reason}"
            kind = UnreachableError
        except (OSError, HTTPException) as error:
            reason = f"the connection broke: {error}"
        except DataError as error:
            reason = f"wrong content: {error}"

        logger.info("%s: %s (attempt %d)", url, reason, attempt)

    raise kind(f"{reason} ({policy.attempts} attempts)")


@dataclass
class DownloadReport:
    """The outcome of a download; paths are relative to the data directory."""

    fetched: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)  # existed already, and are correct
    # existed already, made here (see `read_provenance`)
    kept: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # remaining steps for the user


def download(
    names: Sequence[str],
    data_dir: str | Path,
    *,
    mirror: str | None = None,
    text_only: bool = False,
    overwrite: bool = False,
    workers: int = 4,
    policy: FetchPolicy | None = None,
) -> DownloadReport:
    """Download data sets of `DOWNLOADS`; correct existing files are kept, so a second call resumes the first.

    Every text file's hash is checked, every image is decoded. `<data_dir>/<name>/download.json`
    records them. `mirror` is the address of a data directory on the web, to use instead of the
    owners' servers. `overwrite` replaces text files that differ from the owner's, including those made here.

    Raises:
        DataError: unknown name; files could not be fetched, or differ from the owner's and
            `overwrite` is False.
        ConfigError: `mirror` is not a web address.
        OutputError: the folder cannot be written.
    """
    data_dir = Path(data_dir)
    if mirror is not None:
        try:
            check_address(mirror)
        except FetchError as error:
            raise ConfigError(f"{error}", field="base_url") from error

    plans = {name: caption_files(name, mirror) for name in names}
    with Bar(desc="download", unit="file", total=sum(map(len, plans.values()))) as bar:
        downloader = _Downloader(data_dir, overwrite, workers, policy or FetchPolicy(), bar)
        for name, files in plans.items():
            downloader.fetch_all(name, files)
            if name == "xtd10" and not text_only:
                images = xtd10_images(data_dir, mirror)
                bar.total += len(images)
                downloader.fetch_all(name, images)
            note = DOWNLOADS[name].note
            if note:
                downloader.report.notes.append(note.format(folder=data_dir / name))

    return downloader.report


def read_download_records(data_dir: Path, name: str) -> dict[str, DownloadRecord]:
    """Return the records of a data set's downloaded files by path. Raise DataError if `MANIFEST` cannot be read."""
    path = data_dir / name / MANIFEST
    if not path.exists():
        return {}
    try:
        return {name: {**record} for name, record in load_json(path)["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"cannot read {path} ({error}): remove it, and download again to write it again") from error


def check_content(content: bytes, sha256: str | None, path: str | Path = "") -> None:
    """Raise DataError unless the content of the file `path` has this SHA-256.

    Without a known SHA-256, an image must decode, and text must be UTF-8.
    """
    if sha256 is not None:
        actual = sha256_bytes(content)
        if actual != sha256:
            raise DataError(f"its SHA-256 is {actual[:12]}..., expected {sha256[:12]}...")
        return

    is_text = PurePosixPath(path).suffix.lower() not in (".jpg", ".jpeg", ".png")
    try:
        content.decode("utf-8") if is_text else decode_picture(content)
    except Exception as error:  # Pillow raises any exception
        raise DataError(f"it is not {'UTF-8 text' if is_text else 'a readable image'}: {error}") from error


class _Downloader:
    """Fetches lists of files into one data directory, and keeps the report and the records."""

    def __init__(
        self,
        data_dir: Path,
        overwrite: bool,
        workers: int,
        policy: FetchPolicy,
        bar: Bar,
    ) -> None:
        self.data_dir = data_dir
        self.overwrite = overwrite
        self.workers = workers
        self.policy = policy
        self.bar = bar
        self.report = DownloadReport()
        self._stopped = threading.Event()

    def fetch_all(self, name: str, files: Sequence[RemoteFile]) -> None:
        """Fetch the missing files of one data set. Raise DataError with those that could not be fetched."""
        records = read_download_records(self.data_dir, name)
        failed: dict[RemoteFile, DataError] = {}
        not_tried = 0
        with ThreadPoolExecutor(self.workers) as executor:
            futures = {executor.submit(self._fetch_one, file): file for file in files}
            try:
                for future in as_completed(futures):
                    file = futures[future]
                    error = future.exception()
                    if isinstance(error, CancelledError):
                        not_tried += 1
                    elif isinstance(error, DataError):
                        failed[file] = error
                        if isinstance(error, UnreachableError) or len(failed) >= MAX_FAILURES:
                            self._stopped.set()
                        logger.warning("%s: %s", file.url, error)
                    else:
                        outcome, record = future.result()
                        self.bar.update()
                        getattr(self.report, outcome).append(file.path)
                        # else it may have changed since
                        if outcome == "fetched" or file.path not in records:
                            records[file.path] = record
            except BaseException:  # Ctrl-C or a full disk: stop the running attempts, then raise it again
                self._stopped.set()
                raise
            finally:
                write_json(self.data_dir / name / MANIFEST, {"files": dict(sorted(records.items()))})

        if failed:
            causes = "; ".join(f"{file.url} ({error})" for file, error in list(failed.items())[:MAX_NAMED])
            ellipsis = "; ..." if len(failed) > MAX_NAMED else ""
            skipped = f", {not_tried} were not tried" if not_tried else ""
            raise DataError(
                f"{name}: {len(failed)} of {len(files)} files could not be fetched{skipped}: {causes}{ellipsis}. The "
                f"others are kept, and the same command continues; {setting('base_url')} names a mirror, "
                f"{setting('data_dir')} a copy that you have (a proxy is taken from HTTP_PROXY and HTTPS_PROXY)"
            )

    def _fetch_one(self, file: RemoteFile) -> tuple[str, DownloadRecord]:
        """Fetch a file unless it exists; return the field of `DownloadReport` that it belongs to, and its record."""
        if self._stopped.is_set():
            raise CancelledError

        target = self.data_dir / file.path
        check = partial(check_content, sha256=file.sha256, path=file.path)
        if target.exists():
            content = read_regular(target)
            try:
                check(content)
                return "present", _record_of(content)
            except DataError as error:
                if file.sha256 is not None and not self.overwrite:  # a damaged image is replaced
                    if read_provenance(target) is not None:
                        return "kept", _record_of(content)
                    message = (
                        f"{target} is there but not the owner's file: {error}; {setting(overwrite=True)} replaces it"
                    )
                    raise FetchError(message) from error

        content = fetch(file.url, check, self.policy, self._stopped)
        write_bytes(target, content)
        provenance_file(target).unlink(missing_ok=True)  # record of the replaced file
        date = datetime.now(timezone.utc).isoformat("T", "seconds")
        return "fetched", {"url": file.url, "date": date, **_record_of(content)}


def _record_of(content: bytes) -> DownloadRecord:
    return {"sha256": sha256_bytes(content), "bytes": len(content)}
