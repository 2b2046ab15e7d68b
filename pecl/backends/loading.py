"""Towers and banks by name, on the fastest backend and precision of the machine: what `import pecl` offers.

Trainings and evaluations that are recorded load towers by `encoders/towers`, which has no backend.
"""

from collections.abc import Iterable
from pathlib import Path

import torch

from pecl.adapters import ready
from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.files import load_adapter_file
from pecl.backends import check_backend, set_backend
from pecl.encoders import towers
from pecl.encoders.image import ImageEncoder
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import Towers
from pecl.errors import ConfigError, not_none
from pecl.language.languages import ENGLISH, language_code, language_name, listed, way_to_adapter
from pecl.machine import AUTO


def load_towers(
    profile: str,
    text_model: str | None = None,
    image_model: str | None = None,
    device: str | torch.device = "cpu",
    precision: str = AUTO,
    dtype: torch.dtype = torch.float32,
    quick: bool = False,
    backend: str = AUTO,
) -> Towers:
    """Return the pair `profile`, with either tower replaced if another is named.

    Args:
        profile: a name in `pecl.encoders.pairs.PAIRS`.
        text_model: another text tower, see `load_text_encoder`.
        image_model: another image tower, see `load_image_encoder`.
        device: device of the weights.
        precision: arithmetic of the frozen layers: fp32, bf16, or auto, which is bf16 where it is faster.
        dtype: type of the weights: float32, bfloat16 or float16.
        quick: see `load_text_encoder`.
        backend: package that computes the layers: torch, openvino, or auto, which is OpenVINO where it is installed.

    Raises:
        ConfigError: no such profile, device, precision or backend. Errors of loading are raised at the first
            use of a tower.
    """
    check_backend(backend, str(device), precision)
    plain = towers.load_towers(profile, text_model, image_model, device, dtype=dtype, quick=quick)

    def load_text() -> MultilingualTextEncoder:
        set_backend(plain.text, backend, precision)
        return plain.text

    def load_image() -> ImageEncoder:
        set_backend(plain.image, backend, precision)
        return plain.image

    return Towers(load_text, load_image)


def load_text_encoder(
    name_or_path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    max_length: int | None = None,
    pooling: str | None = None,
    quick: bool = False,
    precision: str = AUTO,
    backend: str = AUTO,
) -> MultilingualTextEncoder:
    """Load a text tower.

    Args:
        name_or_path: name of a pair, such as `mini` or `paper`, for its text tower; `mini-pooled`,
            which is mini's without the linear layer; a hub id; or a local folder. Write `./mini`
            for a folder with the name of a pair.
        device: device of the weights.
        dtype: type of the weights: float32, bfloat16 or float16.
        max_length: longest sequence in tokens; by default 128, or the model's limit where that is
            lower. Not for mini.
        pooling: `mean`, `cls` or `lasttoken`; by default the checkpoint's own, which is `mean` if
            it has none. Not for mini.
        quick: start faster: of the cached weights of mini, check the word embeddings only if the
            time of their file has changed. For queries, not for numbers that are recorded.
        precision: see `load_towers`. With fp32 and the backend torch, embeddings are those of recorded results.
        backend: see `load_towers`. OpenVINO converts the layers at the first text, which takes some ten seconds, once
            per machine.

    Raises:
        WeightsError: the weights cannot be fetched, are incomplete, damaged, or of another kind.
        ConfigError: no such device, precision or backend, unknown pooling, or `max_length` is beyond the limit of the
            model.

    Example:
        >>> pecl.load_text_encoder("mini").encode_text("ein Hund").shape
        torch.Size([1, 256])
    """
    check_backend(backend, str(device), precision)
    tower = towers.load_text_encoder(
        name_or_path, device=device, dtype=dtype, max_length=max_length, pooling=pooling, quick=quick
    )
    set_backend(tower, backend, precision)
    return tower


def load_image_encoder(
    name_or_path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    precision: str = AUTO,
    backend: str = AUTO,
) -> ImageEncoder:
    """Load an image tower.

    Args:
        name_or_path: name of a pair, such as `mini` or `paper`, for its image tower; a hub id; a
            local folder; or `open_clip:<model>/<pretrained>`; `@<SHA-256>` after it checks the file
            of weights. Write `./mini` for a folder with the name of a pair.
        device: device of the weights.
        dtype: type of the weights: float32, bfloat16 or float16.
        precision: see `load_towers`.
        backend: see `load_towers`.

    Raises:
        WeightsError: the weights cannot be fetched, are incomplete, damaged, or of another kind.
        ConfigError: no such device, precision or backend.

    Example:
        >>> pecl.load_image_encoder("mini").encode_image("dog.jpg").shape
        torch.Size([1, 256])
    """
    check_backend(backend, str(device), precision)
    tower = towers.load_image_encoder(name_or_path, device=device, dtype=dtype)
    set_backend(tower, backend, precision)
    return tower


def load_bank(
    profile: str = "mini",
    languages: str | Iterable[str] = ready.ALL,
    *,
    tower: MultilingualTextEncoder | None = None,
    device: str = "cpu",
    precision: str = AUTO,
    backend: str = AUTO,
) -> AdapterBank:
    """Return the shipped adapters of a profile, by language, on its text tower.

    English has no adapter: its name stands for the base encoder.

    Args:
        profile: a pair of towers; adapters are shipped for `mini`.
        languages: names of languages; `all` for every language with an adapter.
        tower: the profile's text tower, without an adapter; it stays as it is. By default it is loaded.
        device: device of the loaded tower.
        precision: arithmetic of the loaded tower, see `load_towers`.
        backend: package that computes the layers of the loaded tower and of its adapters, see `load_towers`.

    Raises:
        ConfigError: no adapters are shipped for the profile, or for a language; no such precision or backend.
        WeightsError: `tower` is not the one that the adapters were trained on.

    Example:
        >>> bank = pecl.load_bank("mini", ["cs", "sw"])
        >>> bank.encode_text(["pes na pláži", "a dog on the beach"], language=["cs", "en"]).shape
        torch.Size([2, 256])
    """
    paths = ready.ready_adapters(profile)
    if not paths:
        profiles = ", ".join(ready.ready_profiles())
        raise ConfigError(f"expected one with ready adapters ({profiles}), got {profile!r}", field="profile")

    names = [languages] if isinstance(languages, str) else list(languages)
    codes = list(paths) if names == [ready.ALL] else list(dict.fromkeys(map(language_code, names)))
    for code in codes:
        if code not in paths and code != ENGLISH:
            expected = f"expected one with a ready adapter for {profile} ({listed(paths)})"
            raise ConfigError(
                f"{expected}, got {language_name(code)}: {way_to_adapter(code, profile)}", field="language"
            )

    tower = tower or load_text_encoder(profile, device=device, precision=precision, backend=backend)
    bank = AdapterBank(tower, plain=[ENGLISH])
    files = [load_adapter_file(paths[code], tower) for code in codes if code in paths]
    bank.add_files((not_none(file.language, "language"), file) for file in files)
    return bank
