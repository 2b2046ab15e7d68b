"""`pecl adapters push` and `pull`: publish adapters with their model card, and fetch published ones."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pecl.commands.options import add_command, add_config_flags, add_path, add_switch, config_of, print_text
from pecl.config import Role, fields_of
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import load_towers
from pecl.errors import DataError
from pecl.export.hub import pull, push
from pecl.report.tables.candidates import chosen_candidates
from pecl.report.tables.groups import group_of, grouped
from pecl.results.result import collect

TOWER_FLAGS = fields_of(Role.TEXT_TOWER)
_PATHS = "\nWhere its first part is a folder that is here, it is a path; hub:ID is always an id of the hub."


def add_push(actions: Any) -> None:
    """Add the action `push`."""
    about = (
        "Publish adapters on the model hub, or in a folder, with a model card whose figures are read from the results\n"
        "of the runs. Each SOURCE is an adapter file as `pecl train` wrote it, or the folder of its results. Every\n"
        "result must have its checksum, recalls that its ranks give, and the SHA-256 of its adapter file.\n"
        f"TARGET is a hub id (name/adapters; `hf auth login` logs in), or a path such as ./adapters. {_PATHS}"
    )
    example = "pecl adapters push results/default name/pecl-mini-cs"
    parser = add_command(actions, "push", example, about, summary="publish adapters with a model card")
    add_path(parser, "sources", "adapter file, or folder of results", "SOURCE", nargs="+")
    add_path(parser, "target", "hub id, or folder to make", "TARGET")
    add_switch(parser, "--best", "per language only the run that validation chooses")
    parser.add_argument("--licence", "--license", default="other", help="licence in the hub's words: mit, ...")
    add_switch(parser, "--private", "a hub id that is new is seen only by its owner")
    parser.set_defaults(run=_push)


def _push(parsed: argparse.Namespace) -> int:
    sources = [Path(source) for source in parsed.sources]
    sources = best_adapters(sources) if parsed.best else sources
    print_text(push(sources, parsed.target, parsed.licence, parsed.private))
    return 0


def best_adapters(folders: Sequence[Path]) -> list[Path]:
    """Return the adapter file of the run that validation chooses for each language, as `pecl report` does.

    Raise DataError without a complete training, for a damaged result, or if runs of a language were not measured alike.
    """
    trained = [one for one in collect(folders) if one.kind == "train" and one.status == "complete"]
    by_language = grouped(chosen_candidates(trained), lambda candidate: candidate.language)
    if not by_language:
        raise DataError(f"{', '.join(map(str, folders))}: expected results of `pecl train`, found no complete one")
    for language, own in by_language.items():
        if len({group_of(candidate.chosen_run) for candidate in own}) > 1:
            raise DataError(
                f"--best: runs of {language} were validated on different captions or towers, so none is the best: name "
                "its adapter file"
            )
    best = [max(own, key=lambda candidate: candidate.validation) for own in by_language.values()]
    return [candidate.chosen_run.adapter_path for candidate in best]


def add_pull(actions: Any) -> None:
    """Add the action `pull`."""
    about = (
        "Fetch published adapters into a new folder, pinned to the commit that was fetched, and check that they\n"
        f"belong to the text tower. SOURCE is a hub id, id@revision, or a folder that push wrote. {_PATHS}"
    )
    example = "pecl adapters pull name/pecl-mini-cs adapters"
    parser = add_command(actions, "pull", example, about, summary="fetch published adapters")
    add_path(parser, "source", "hub id, id@revision, or folder", "SOURCE")
    add_path(parser, "target", "folder to make", "TARGET")
    add_config_flags(parser, only=TOWER_FLAGS)
    parser.set_defaults(run=_pull)


def _pull(parsed: argparse.Namespace) -> int:
    paths = pull(parsed.source, Path(parsed.target), load_tower(parsed))
    print_text("\n".join(map(str, paths)))
    return 0


def load_tower(parsed: argparse.Namespace) -> MultilingualTextEncoder:
    """Return the text tower that the flags `TOWER_FLAGS` name."""
    config = config_of(parsed, TOWER_FLAGS)
    return load_towers(config.profile, config.text_model, device=config.device).text
