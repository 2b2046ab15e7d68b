"""Replace the textual model in immich's cache by one with a language in it, and restore the former one.

The new graph gets a name of its own next to `model.onnx`, is compared with the tower by onnxruntime, and then takes the
name `model.onnx` in one step. The former file keeps the name `model.onnx.before-pecl`. A kill at any point leaves a
`model.onnx` that immich opens; the next call removes leftovers.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import OutputError, WeightsError
from pecl.export.immich import (
    MODEL,
    MODELS,
    TEXTS,
    TEXTUAL,
    Textual,
    check_textual,
    context_length_of,
    distance,
    write_textual,
)
from pecl.export.onnx import check_packages
from pecl.files import LOCK, check_writable, locked, open_regular, write_stream
from pecl.languages import ENGLISH

FORMER = f"{MODEL}.before-pecl"
_OURS = "pecl-*.onnx*"
_SAME = 0.02  # for each number of an embedding, between immich's file, which may be of 16 bits, and the tower


def replace_textual(
    merged: MultilingualTextEncoder, plain: MultilingualTextEncoder, name: str, cache: str | Path, language: str
) -> Path:
    """Put a tower with a language in it in place of the textual model of immich's cache, and return the model's path.

    Args:
        merged: the tower with an adapter in its weights.
        plain: the tower without adapter, which immich's file has to be.
        name: immich's name of the model, a key of `MODELS`.
        cache: see `model_folder`.
        language: language of the adapter.

    Raises:
        WeightsError: the folder holds no model of immich's cache or another one, or the new graph differs from the
            tower.
        OutputError: there is no room, or the folder cannot be written.
        BusyError: another process replaces or restores.
        RunError: the tower has an operation that ONNX lacks.
    """
    check_packages()
    folder = model_folder(cache)
    path = folder / TEXTUAL / MODEL
    former = path.with_name(FORMER)
    with _held(folder):
        _check_tower(Textual(folder, former if former.exists() else path), plain, name, folder)
        _check_room(path.parent, merged)
        made = path.with_name(f"pecl-{secrets.token_hex(6)}.onnx")
        try:
            write_textual(merged, made, context_length_of(folder), language=language, is_mclip=MODELS[name].is_mclip)
            check_textual(Textual(folder, made), merged, language)
            if not former.exists():
                _keep(path, former)
            _move(made, path)
        except BaseException:
            _remove(path.parent.glob(f"{made.name}*"))
            raise
        _remove(one for one in path.parent.glob(_OURS) if not one.name.startswith(made.name))
    return path


def restore_textual(cache: str | Path) -> Path:
    """Put the former textual model of immich's cache back, and return its path.

    Raises:
        WeightsError: nothing was replaced in the folder.
        WeightsError, OutputError, BusyError: as `replace_textual`.
    """
    folder = model_folder(cache)
    path = folder / TEXTUAL / MODEL
    with _held(folder):
        former = path.with_name(FORMER)
        if not former.is_file():
            raise WeightsError(f"{former} is missing: expected a model that `pecl export immich --replace` replaced")
        _move(former, path)
        _remove(path.parent.glob(_OURS))
    return path


def model_folder(cache: str | Path) -> Path:
    """Return the folder of a model in immich's cache.

    Raises:
        WeightsError: it holds no textual model, or a link to one, or it is a folder of revisions or of models.
        OutputError: it cannot be written.
    """
    folder = Path(cache)
    path = folder / TEXTUAL / MODEL
    wanted = f"expected the folder of a model in immich's cache, with {TEXTUAL}/{MODEL} in it"
    if not path.is_file():
        inner = sorted({one.parents[1] for one in folder.glob(f"*/{TEXTUAL}/{MODEL}")})
        inner += sorted({one.parents[1] for one in folder.glob(f"clip/*/{TEXTUAL}/{MODEL}")})
        found = f", such as {inner[0]}, one of {len(inner)} models or revisions below it" if inner else ""
        raise WeightsError(f"{folder}: {wanted}{found}; nothing was replaced")
    if path.is_symlink():
        raise WeightsError(f"{path} is a link into a cache of the model hub: {wanted} as a file; nothing was replaced")
    check_writable(path.parent)
    return folder


def _held(folder: Path) -> AbstractContextManager[None]:
    return locked(folder / TEXTUAL / LOCK, f"another process replaces the textual model of {folder}")


def _check_tower(found: Textual, plain: MultilingualTextEncoder, name: str, folder: Path) -> None:
    """Raise WeightsError unless immich's own file gives the embeddings of the plain tower."""
    with plain.speaking(ENGLISH):
        expected = plain.encode_text(TEXTS).numpy()  # (N, D)
    inputs = ["input_ids", "attention_mask"] if MODELS[name].is_mclip else ["text"]
    if sorted(found.inputs) == sorted(inputs) and distance(found.embed, TEXTS, expected) < _SAME:
        return
    raise WeightsError(
        f"{folder} holds another tower than {name}: its embeddings are not those of {plain.name}; name the folder of "
        "that model, or its --tower; nothing was replaced"
    )


def _check_room(folder: Path, tower: MultilingualTextEncoder) -> None:
    wanted = sum(parameter.numel() * 4 for parameter in tower.parameters())
    free = shutil.disk_usage(folder).free
    if free < wanted * 1.05:
        raise OutputError(
            f"no room in {folder} for a second textual model: expected {wanted / 1e6:,.1f} MB, got {free / 1e6:,.1f} "
            "MB; nothing was replaced"
        )


def _keep(path: Path, former: Path) -> None:
    """Give a file a second name; copy it where the file system has one name per file."""
    try:
        os.link(path, former)
    except OSError:
        with open_regular(path) as source:
            write_stream(former, lambda file: shutil.copyfileobj(source, file))


def _move(made: Path, path: Path) -> None:
    """Let a file take the name of another, once it is on the disk."""
    try:
        for one in made.parent.glob(f"{made.name}*"):
            with open_regular(one) as file:
                os.fsync(file.fileno())
        os.replace(made, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; it is as it was") from error


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        with contextlib.suppress(OSError):  # the next call tries again
            path.unlink()
