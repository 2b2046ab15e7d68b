"""`pecl towers`: list the pairs of towers by name, and check whether a model or folder can be used as one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pecl.commands import options as cli
from pecl.encoders.pairs import PAIRS, is_cached
from pecl.errors import PeclError, WeightsError

if TYPE_CHECKING:
    from pecl.encoders.text import MultilingualTextEncoder


_action = cli.group("towers", "pecl towers check ./my-siglip2")


@_action("pecl towers list", cli.JSON)
def _list(parsed: argparse.Namespace) -> None:
    """List the pairs of towers that have a name."""
    rows = [
        {
            "name": name,
            "text": pair.text,
            "image": pair.image,
            "text_parameters": pair.parameters,
            "text_bytes": pair.parameters * 4,  # of fp32
            "width": pair.width,
            "vocabulary": pair.vocabulary,
            "licence": pair.licence,
            "cached": is_cached(pair),
            "description": pair.description,
        }
        for name, pair in PAIRS.items()
    ]
    lines = [("name", "parameters", "width", "memory", "vocabulary", "licence", "cached", "description")]
    for row in rows:
        millions = f"{row['text_parameters'] / 1e6:.0f} M"
        memory = f"{row['text_bytes'] / 2**30:.1f} GiB"
        cached = "yes" if row["cached"] else "no"
        width = str(row["width"])
        lines.append(
            (row["name"], millions, width, memory, row["vocabulary"], row["licence"], cached, row["description"])
        )

    note = "parameters and memory (fp32) are the text tower's; --precision bf16 halves the memory of its matrices"
    cli.print_answer(parsed, rows, cli.in_columns(lines), "", note)


@_action(
    "pecl towers check google/siglip2-base-patch16-224",
    cli.path("tower", "name of a pair, hub id, open_clip:MODEL/WEIGHTS, folder", "NAME-or-FOLDER"),
    cli.JSON,
)
def _check(parsed: argparse.Namespace) -> int:
    """Load a text tower and, if there is one, an image tower, and report parts that do not fit."""
    # torch, which takes seconds
    from pecl.encoders.towers import check_pair, load_image_encoder, load_text_encoder

    towers: list[Any] = []
    checks = []  # (half or `pair`, whether it can be used, its description or the error)
    for half, load, describe in (
        ("text tower", load_text_encoder, _text_detail),
        ("image tower", load_image_encoder, lambda tower: f"{tower.embedding_dim} wide"),
    ):
        try:
            towers.append(load(parsed.tower))
            checks.append((half, True, describe(towers[-1])))
        except PeclError as error:
            checks.append((half, False, str(error)))

    if len(towers) == 2:
        try:
            check_pair(*towers)
        except WeightsError as error:
            checks.append(("pair", False, str(error)))

    document = [{"half": half, "fits": fits, "detail": detail} for half, fits, detail in checks]
    lines = [(half, "fits" if fits else "does not fit", detail) for half, fits, detail in checks]
    cli.print_answer(parsed, document, cli.in_columns(lines))
    return 0 if all(fits or half == "image tower" for half, fits, _ in checks) else 2


def _text_detail(tower: MultilingualTextEncoder) -> str:
    from pecl.adapters.kind import architecture_of

    parameters = sum(parameter.numel() for parameter in tower.parameters())
    model_type = tower.backbone.config.model_type

    adapted = "all kinds of adapters"
    try:
        architecture_of(tower.backbone)
    except WeightsError as error:
        adapted = str(error)

    return (
        f"{model_type}, {parameters / 1e6:.1f} M parameters, {tower.embedding_dim} wide, {tower.max_length} tokens, "
        f"pooling {tower.pooling}, {adapted}"
    )
