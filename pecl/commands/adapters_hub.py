"""`pecl adapters push` and `pull`: publish adapters with their model card, and fetch published ones."""

from __future__ import annotations

import argparse
from typing import Any

from pecl.commands.options import add_command, add_config_flags, config_values, print_text
from pecl.config import Role, fields_of, make_config
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import load_towers
from pecl.export.hub import pull, push

_TOWER_FLAGS = fields_of(Role.TEXT_TOWER)


def add_push(actions: Any) -> None:
    """Add the action `push`."""
    about = (
        "Publish adapters on the model hub, or in a folder, with a model card whose figures are read from the results\n"
        "of the runs. Each SOURCE is an adapter file as `pecl train` wrote it, or the folder of its results. TARGET\n"
        "is a hub id (name/adapters; `hf auth login` logs in), or a path such as ./adapters."
    )
    example = "pecl adapters push results/default name/pecl-mini-cs"
    parser = add_command(actions, "push", "publish adapters with a model card", example, about)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="adapter file, or folder of results")
    parser.add_argument("target", metavar="TARGET", help="hub id, or folder to make")
    parser.add_argument("--licence", "--license", default="other", help="of the adapters, in the hub's words: mit, ...")
    parser.add_argument("--private", action="store_true", help="a hub id that is new is seen by its owner alone")
    parser.set_defaults(run=_push)


def _push(parsed: argparse.Namespace) -> int:
    print_text(push(parsed.sources, parsed.target, parsed.licence, parsed.private))
    return 0


def add_pull(actions: Any) -> None:
    """Add the action `pull`."""
    about = (
        "Fetch published adapters into a new folder, pinned to the commit that was fetched, and check that they\n"
        "belong to the text tower that is named. SOURCE is a hub id, id@revision, or a folder that push wrote."
    )
    parser = add_command(
        actions, "pull", "fetch published adapters", "pecl adapters pull name/pecl-mini-cs adapters", about
    )
    parser.add_argument("source", metavar="SOURCE", help="hub id, id@revision, or folder")
    parser.add_argument("target", metavar="TARGET", help="folder to make")
    add_config_flags(parser, only=_TOWER_FLAGS)
    parser.set_defaults(run=_pull)


def _pull(parsed: argparse.Namespace) -> int:
    paths = pull(parsed.source, parsed.target, _load_tower(parsed))
    print_text("\n".join(map(str, paths)))
    return 0


def _load_tower(parsed: argparse.Namespace) -> MultilingualTextEncoder:
    values = {name: value for name, value in config_values(parsed).items() if name in _TOWER_FLAGS}
    config = make_config(values, where="command line")
    return load_towers(config.profile, config.text_model, device=config.device).text
