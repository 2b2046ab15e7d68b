"""Find the folder of a model's files by its name: a local folder, or a hub id, which is downloaded once and cached.

`id@revision` is one state of a model: a commit, which never changes, or a tag or branch, which its
owner can move.
"""

import functools
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from huggingface_hub import (
    HfApi,
    constants,
    get_hf_file_metadata,
    hf_hub_url,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers

from pecl.encoders.loading.weights import WEIGHT_FILES, first_line
from pecl.encoders.pairs import MINI, PAIRS, RECOMMENDED, is_cached
from pecl.errors import WeightsError, setting, suggest
from pecl.files import expanded, sha256_file

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5.0  # a hub that does not answer in this time counts as unreachable
LARGE = 16 << 20  # bytes; larger files resume an interrupted download
CONFIG_FILES = ("config.json", "modules.json", "open_clip_config.json")
# folders of no use to torch
OTHER_FORMATS = frozenset({"onnx", "openvino", "coreml", "flax", "tf"})
SETTINGS = re.compile(r".*\.(json|txt|model)|projection\.safetensors")
_KNOWN = {name for pair in PAIRS.values() for name in (pair.text, pair.image)}
OPEN_CLIP_FILES = tuple(re.compile(rf"open_clip_\w+\.{suffix}") for suffix in ("safetensors", "bin"))


def resolve(name_or_path: str | Path, field: str, *, weights: bool = True) -> Path:
    """Return the folder of a model's files, given a local folder, or `id` or `id@revision` on the model hub.

    Without `weights`, only settings and tokenizer are fetched. Raise WeightsError if the model does
    not exist or cannot be fetched. The error has the `field` that takes a local folder, and
    suggests the nearest tower in `PAIRS`.
    """
    folder = local_folder(name_or_path, field)
    if folder is not None:
        return folder

    name = str(name_or_path)
    repo_id, _, revision = name.partition("@")
    try:
        return _fetch(repo_id, revision or None, weights)
    except HFValidationError as error:
        raise WeightsError(
            f"{name!r} is neither a folder nor a model id{suggest(name, _KNOWN)}", field=field
        ) from error
    except (HTTPError, OSError) as error:
        cached_paths = (try_to_load_from_cache(repo_id, file, revision=revision or None) for file in CONFIG_FILES)
        cached = next((Path(path).parent for path in cached_paths if isinstance(path, str)), None)
        if cached is None:
            raise WeightsError(explain(error, name, is_tower=weights)) from error
        if not constants.HF_HUB_OFFLINE:  # a user who sets it expects the copy
            _warn_once(f"cannot reach {HfApi().endpoint} for {name} ({_reason(error)}); using the copy in {cached}")
        return cached


def local_folder(name_or_path: str | Path, field: str) -> Path | None:
    """Return the local folder that a name means, or None for a name of the model hub; use no network.

    Raise WeightsError, with `field`, for a name that is none of the hub's if there is no such folder.
    """
    folder = expanded(name_or_path)
    if os.path.isdir(folder):  # unlike `Path.is_dir`, raises nothing
        return folder

    name = str(name_or_path)
    repo_id = name.partition("@")[0]
    if os.path.exists(folder) or name.startswith((".", "~", "/")) or repo_id.count("/") > 1:
        raise WeightsError(f"there is no folder {name}: expected the folder of a checkpoint", field=field)
    return None


def choose_files(names: Iterable[str], weights: bool = True) -> list[str]:
    """Return the files of a repository to fetch: settings, tokenizer, and in each folder the weights in one format."""
    files: list[str] = []
    by_folder: dict[PurePosixPath, list[PurePosixPath]] = {}
    for name in names:
        path = PurePosixPath(name)
        if path.parts[0] in OTHER_FORMATS:
            continue
        if SETTINGS.fullmatch(path.name):
            files.append(name)
        elif weights:
            by_folder.setdefault(path.parent, []).append(path)

    for paths in by_folder.values():
        formats = (
            [str(path) for path in paths if pattern.fullmatch(path.name)] for pattern in WEIGHT_FILES + OPEN_CLIP_FILES
        )
        files += next(filter(None, formats), [])

    return files


def recommended_profile() -> str:
    """Return `siglip2-b16` if its towers are cached or the model hub offers them, else `mini`."""
    pair = PAIRS[RECOMMENDED]
    if is_cached(pair):
        return RECOMMENDED

    try:
        for repo_id in pair.repositories:
            HfApi().model_info(repo_id, timeout=TIMEOUT_SECONDS)
    except (HTTPError, OSError) as error:
        logger.debug("%s does not offer %s: %s", HfApi().endpoint, RECOMMENDED, first_line(error))
        return MINI

    return RECOMMENDED


def _fetch(repo_id: str, revision: str | None, weights: bool) -> Path:
    info = HfApi().model_info(repo_id, revision=revision, files_metadata=True, timeout=TIMEOUT_SECONDS)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    files = choose_files(sizes, weights)
    missing = [name for name in files if not isinstance(try_to_load_from_cache(repo_id, name, revision=info.sha), str)]
    if missing:
        total = sum(sizes[name] for name in missing)
        logger.info("downloading %s: %.2f GB into %s", repo_id, total / 1e9, constants.HF_HUB_CACHE)

    for name in missing:
        if sizes[name] > LARGE:
            _fetch_large(repo_id, name, info.sha)

    folder = snapshot_download(
        repo_id,
        revision=revision if missing else info.sha,
        local_files_only=not missing,
        allow_patterns=files,
        etag_timeout=TIMEOUT_SECONDS,
    )
    return Path(folder)


def _fetch_large(repo_id: str, name: str, commit: str | None) -> None:
    """Fetch a large file into the hub's cache; resume an interrupted download.

    `snapshot_download` then finds it there. By itself it would begin each file again after a kill.
    """
    url = hf_hub_url(repo_id, name, revision=commit)
    metadata = get_hf_file_metadata(url, timeout=TIMEOUT_SECONDS)
    if metadata.etag is None:
        return  # the hub gives no checksum: `snapshot_download` raises an error

    folder = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=repo_id, repo_type="model"), "blobs")
    folder.mkdir(parents=True, exist_ok=True)
    content = folder / metadata.etag
    part = folder / f"{metadata.etag}.part"

    with WeakFileLock(folder / f"{metadata.etag}.part.lock"):
        if content.exists():
            return

        with part.open("ab") as file:
            headers = build_hf_headers()
            http_get(url, file, resume_size=file.tell(), expected_size=metadata.size, headers=headers)

        if re.fullmatch("[0-9a-f]{64}", metadata.etag) and sha256_file(part) != metadata.etag:
            part.unlink()
            raise OSError(f"{name} has other content than on the hub; run the same command again")

        part.rename(content)


@functools.cache
def _warn_once(sentence: str) -> None:
    logger.warning("%s", sentence)


def _reason(error: Exception) -> str:
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return first_line(error).rstrip(".")


def explain(error: Exception, repo_id: str, *, is_tower: bool = False) -> str:
    """Return the sentence for an error of huggingface_hub about `repo_id` or `id@revision`."""
    hub = HfApi().endpoint
    model = repo_id.partition("@")[0]
    folder = repo_folder_name(repo_id=model, repo_type="model")
    local = f"copy {folder} from the cache of a computer that has it into {constants.HF_HUB_CACHE}"
    hint = "" if repo_id in _KNOWN else suggest(repo_id, _KNOWN)
    if isinstance(error, GatedRepoError):
        return f"{repo_id} on {hub} is gated: ask for access on its page and run `hf auth login`, or {local}"
    if isinstance(error, RevisionNotFoundError):
        return f"{model} on {hub} has no revision {repo_id.partition('@')[2]}: expected a commit, tag or branch"
    if isinstance(error, RepositoryNotFoundError):
        return f"there is no model {repo_id} on {hub}, or it is private{hint}"

    mini = f"; {setting(profile='mini')} needs no hub" if is_tower else ""
    return f"cannot fetch {repo_id} from {hub} ({_reason(error)}): {local}{mini}{hint}"
