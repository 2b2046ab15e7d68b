"""`pecl serve`: embeddings in OpenAI's form, search in an index of photographs, and a page, over HTTP."""

from __future__ import annotations

import argparse
import logging
import threading
import webbrowser
from dataclasses import Field, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pecl.apps.search.index import profile_of
from pecl.apps.serving.limits import Limits
from pecl.apps.serving.sockets import address_of, allowed_hosts, open_socket, read_key
from pecl.commands import options as cli
from pecl.config import Role, fields_of, make_config
from pecl.data.languages import listed
from pecl.errors import ConfigError, install, not_none, unknown
from pecl.options import parse_option

if TYPE_CHECKING:
    from pecl.apps.serving.service import Service
    from pecl.apps.serving.upstream import Immich
    from pecl.config import ExperimentConfig

logger = logging.getLogger(__name__)

_FLAGS = fields_of(Role.TEXT_TOWER | Role.MACHINE) | {"image_model", "precision"}


def _limit(item: Field) -> cli.Argument:
    flag = item.name if item.name in ("window", "patience") else f"max-{item.name}".replace("_", "-")
    text = f"{item.metadata['help']} (default: {item.default:,})"
    return cli.argument(f"--{flag}", text, dest=item.name, metavar="N")


@cli.command(
    "pecl serve --index ~/Pictures --port 8000",
    cli.argument(
        "--adapter",
        f"adapters in addition to the shipped ones, one per language: {cli.ADAPTER_HELP}",
        dest="files",
        nargs="+",
        action="extend",
        default=[],
        metavar="ADAPTER",
    ),
    cli.path("--index", "index of photographs to search in, made by `pecl index`", "INDEX"),
    cli.path("--adapters-dir", "folder whose adapter files requests may load by name", "DIR"),
    cli.argument(
        "--immich-upstream",
        "immich's own machine learning service, such as http://immich-machine-learning:3003; immich then uses this "
        "server in its place",
        metavar="URL",
    ),
    cli.argument("--immich-model", "immich's name of the served tower (default: that of --profile)", metavar="NAME"),
    cli.argument("--host", "address to listen on (default: 127.0.0.1)", default="127.0.0.1"),
    cli.argument("--port", "port to listen on; 0 selects a free port (default: 8000)", default="8000"),
    cli.path("--api-key-file", "file with the key that requests must send (default: no key)", "FILE"),
    cli.switch("--open", "open the page in a browser"),
    cli.switch("--access-log", "log a line per request, without its query"),
    cli.config_flags(only=_FLAGS),
    *map(_limit, fields(Limits)),
)
def run(parsed: argparse.Namespace) -> None:
    """Serve embeddings, search and a page over HTTP.

    The search page is at /. POST /v1/embeddings follows OpenAI's API, with a language for each input. After Ctrl-C or
    SIGTERM the server answers the requests that it has accepted, and stops.
    """
    values = cli.config_values(parsed)
    if parsed.index is not None and not values.keys() & {"profile", "image_model"}:
        values["profile"] = profile_of(parsed.index)
    config = make_config(values, where="command line")
    given = {item.name: getattr(parsed, item.name) for item in fields(Limits)}
    limits = Limits(**{name: parse_option(Limits, name, text) for name, text in given.items() if text is not None})
    if not parsed.port.isdecimal() or int(parsed.port) > 65535:
        raise ConfigError(f'port: expected a whole number from 0 to 65535, got "{parsed.port}"')
    if parsed.adapters_dir is not None and not Path(parsed.adapters_dir).is_dir():
        raise ConfigError(f"adapters_dir: expected a folder, got {parsed.adapters_dir}")
    key = None if parsed.api_key_file is None else read_key(parsed.api_key_file)
    with open_socket(parsed.host, int(parsed.port)) as listening:
        address = address_of(listening)
        logger.info("%s answers once the towers are loaded", address)  # loading and imports take seconds
        if key is None and allowed_hosts(listening, parsed.host) is None:
            logger.warning("everyone who can reach %s can use it: --api-key-file requires a key", address)
        server = _with_extra("server")
        service = _load(parsed, config, limits)
        logger.info("%s serves %s", address, listed(service.models.names))
        if service.photographs is not None:
            cli.print_text(f"{address} searches {service.photographs.root} (Ctrl-C stops it)")
        if parsed.open:  # the socket listens already, so that the browser waits for the server
            threading.Thread(target=_open, args=(address,), daemon=True).start()
        server.serve(service, listening, parsed.host, key, parsed.access_log)


def _open(address: str) -> None:
    if not webbrowser.open(address):
        logger.warning("no browser was found: open %s", address)


def _with_extra(name: str) -> Any:
    """Return the module of `pecl.apps.serving` of this name; raise ConfigError without the extra that it needs."""
    try:
        return import_module(f"pecl.apps.serving.{name}")
    except ImportError as error:
        if (error.name or "").startswith("pecl"):
            raise
        raise ConfigError(f"pecl serve needs {error.name}: {install('serve')}") from error


def _load(parsed: argparse.Namespace, config: ExperimentConfig, limits: Limits) -> Service:
    import torch

    from pecl.adapters.choice import KnownAdapters
    from pecl.apps.serving.models import Models
    from pecl.apps.serving.photographs import Photographs
    from pecl.apps.serving.service import Service
    from pecl.encoders.towers import load_towers

    if config.threads is not None:
        torch.set_num_threads(config.threads)
    immich = _immich(parsed, config)
    known = KnownAdapters(config.profile, parsed.files, config.text_model)
    files = known.files()
    towers = load_towers(config.profile, config.text_model, config.image_model, config.device, config.precision)
    photographs = None if parsed.index is None else Photographs(parsed.index, towers.image)
    name = config.profile if config.text_model is None else Path(config.text_model).name
    models = Models(name, towers.text)
    models.add_files((not_none(file.language, "language"), file) for file in files.values())
    logger.info("adapters: %s", listed([known.for_language(language).name for language in files]) or "none")
    adapters_dir = None if parsed.adapters_dir is None else Path(parsed.adapters_dir).resolve()
    return Service(models, towers.image, limits, adapters_dir, photographs, immich)


def _immich(parsed: argparse.Namespace, config: ExperimentConfig) -> Immich | None:
    """Return the client of immich's service; None without --immich-upstream.

    Raise ConfigError if the address is wrong, another service answers there, or immich does not list the tower.
    """
    if parsed.immich_upstream is None:
        if parsed.immich_model is not None:
            raise ConfigError("--immich-model: expected --immich-upstream with it")
        return None
    from pecl.apps.export.immich import MODELS, names_of

    names = names_of(config.profile, config.text_model)
    if parsed.immich_model is not None and parsed.immich_model not in MODELS:
        raise ConfigError(unknown("multilingual model of immich", parsed.immich_model, MODELS))
    if parsed.immich_model is None and not names:
        raise ConfigError(
            f"--immich-upstream: immich does not list the text tower {config.text_model or config.profile}: "
            "expected a --profile such as vit-b-32, or --immich-model NAME"
        )
    immich = _with_extra("upstream").Immich(parsed.immich_upstream, parsed.immich_model or names[0])
    immich.check()
    return immich
