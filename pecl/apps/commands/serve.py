"""`pecl serve`: embeddings in OpenAI's form, search in an index of photographs, and a page, over HTTP."""

from __future__ import annotations

import argparse
import logging
import shlex
import threading
import webbrowser
from dataclasses import Field, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pecl.apps.commands.flags import BACKEND
from pecl.apps.search.index import ImageIndex, profile_of
from pecl.apps.serving.limits import Limits
from pecl.apps.serving.sockets import LOOPBACK, address_of, allowed_hosts, check_port, open_socket, read_key
from pecl.backends import check_backend, prepare
from pecl.commands import options as cli
from pecl.config import Role, fields_of, make_config
from pecl.encoders.pairs import PAIRS
from pecl.errors import ConfigError, as_argument, install, not_none, spelled, unknown
from pecl.language.languages import listed
from pecl.options import parse_option

if TYPE_CHECKING:
    from pecl.adapters.choice import KnownAdapters
    from pecl.adapters.formats.files import AdapterFile
    from pecl.apps.serving.service import Service
    from pecl.apps.serving.upstream import Immich
    from pecl.config import ExperimentConfig
    from pecl.encoders.towers import Towers

logger = logging.getLogger(__name__)

_FLAGS = fields_of(Role.TEXT_TOWER | Role.MACHINE) | {"image_model", "precision"}


def _limit(field: Field) -> cli.Argument:
    flag = field.name if field.name == "window" else f"max-{field.name}".replace("_", "-")
    text = f"{field.metadata['help']} (default: {field.default:,})"
    return cli.argument(f"--{flag}", text, dest=field.name, metavar="N")


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
    BACKEND,
    cli.config_flags(only=_FLAGS),
    *map(_limit, fields(Limits)),
)
def run(parsed: argparse.Namespace) -> None:
    """Serve embeddings, search and a page over HTTP.

    The search page is at /. POST /v1/embeddings follows OpenAI's API, with a language for each input. After Ctrl-C or
    SIGTERM the server answers the requests that it has accepted, and stops.
    """
    plan = _checked(parsed)
    server = _with_extra("server")
    logger.info("loading the towers; the address follows")
    service = _load(parsed, plan)

    with open_socket(parsed.host, plan.port) as listening:
        address = address_of(listening)
        if plan.key is None and allowed_hosts(listening, parsed.host) is None:
            logger.warning("anyone who can reach %s can use it: --api-key-file sets a key", address)

        logger.info("%s serves %s", address, listed(service.models.names))
        if service.photographs is not None:
            cli.print_text(f"{address} searches {service.photographs.root} (Ctrl-C stops it)")

        if parsed.open:  # the socket listens already, so that the browser waits for the server
            threading.Thread(target=_open, args=(address,), daemon=True).start()
        with spelled(as_argument):  # a client sends fields
            server.serve(service, listening, parsed.host, plan.key, parsed.access_log)


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


@dataclass(frozen=True)
class _Plan:
    """A server that the flags describe. All of them are checked, no tower is loaded and no port is open."""

    config: ExperimentConfig
    limits: Limits
    port: int
    key: bytes | None
    known_adapters: KnownAdapters
    adapters: dict[str, AdapterFile]  # by language
    adapters_dir: Path | None
    towers: Towers  # each is loaded at its first use
    immich: Immich | None


def _checked(parsed: argparse.Namespace) -> _Plan:
    """Return the plan of a server; raise PeclError for any flag or file that is wrong."""
    values = cli.config_values(parsed)
    if parsed.index is not None and not values.keys() & {"profile", "image_model"}:
        values["profile"] = profile_of(parsed.index)

    config = make_config(values, where=cli.sources_of_values(parsed))
    check_backend(parsed.backend, config.device, config.precision)

    texts = {field.name: getattr(parsed, field.name) for field in fields(Limits)}
    limits = Limits(**{name: parse_option(Limits, name, text) for name, text in texts.items() if text is not None})

    if not parsed.port.isdecimal() or int(parsed.port) > 65535:
        raise ConfigError(f'expected a whole number from 0 to 65535, got "{parsed.port}"', field="port")

    port = int(parsed.port)
    check_port(parsed.host, port)

    if parsed.adapters_dir is not None and not Path(parsed.adapters_dir).is_dir():
        raise ConfigError(f"expected a folder, got {parsed.adapters_dir}", field="adapters_dir")

    key = None if parsed.api_key_file is None else read_key(parsed.api_key_file)
    if parsed.index is not None:
        _check_index(parsed.index, config)

    _check_folders(config)
    immich = _immich(parsed, config, port)

    from pecl.adapters.choice import KnownAdapters  # with torch, which takes seconds
    from pecl.backends.loading import load_towers

    towers = load_towers(
        config.profile,
        config.text_model,
        config.image_model,
        config.device,
        config.precision,
        quick=True,
        backend=parsed.backend,
    )
    known_adapters = KnownAdapters(config.profile, parsed.files, config.text_model)
    adapters_dir = None if parsed.adapters_dir is None else Path(parsed.adapters_dir).resolve()

    return _Plan(config, limits, port, key, known_adapters, known_adapters.files(), adapters_dir, towers, immich)


def _check_folders(config: ExperimentConfig) -> None:
    """Raise WeightsError if a tower is named by a folder that does not exist; a model of the hub is fetched later."""
    for field, name in (("text_model", config.text_model), ("image_model", config.image_model)):
        if name is not None and name not in PAIRS:
            from pecl.encoders.loading.hub import local_folder  # takes a second
            from pecl.encoders.loading.open_clip import PREFIX

            if not name.startswith(PREFIX):
                local_folder(name, field)


def _check_index(folder: str, config: ExperimentConfig) -> None:
    """Raise DataError if an index cannot be read, and ConfigError if it was made with another pair's image tower."""
    with ImageIndex.open(folder) as index:
        profile = index.head.profile
        root = index.root

    pair = PAIRS.get(profile)
    if config.image_model is None and pair is not None and pair.image != PAIRS[config.profile].image:
        command = f"pecl index {shlex.quote(str(root))} --profile {config.profile} --rebuild"
        raise ConfigError(
            f"--profile: expected {profile}, with which the index of {root} was made, got {config.profile}: leave "
            f"--profile out, or run `{command}`"
        )


def _load(parsed: argparse.Namespace, plan: _Plan) -> Service:
    """Return the service of a plan with its towers, adapters and index loaded."""
    import torch

    from pecl.apps.serving.models import Models
    from pecl.apps.serving.photographs import Photographs
    from pecl.apps.serving.service import Service

    config = plan.config
    towers = plan.towers
    if config.threads is not None:
        torch.set_num_threads(config.threads)

    if parsed.immich_model is not None:
        _check_width(parsed.immich_model, towers.text.embedding_dim)

    photographs = None if parsed.index is None else Photographs(parsed.index, towers.image)

    name = config.profile if config.text_model is None else Path(config.text_model).name
    models = Models(name, towers.text)
    models.add_files((not_none(file.language, "language"), file) for file in plan.adapters.values())
    names = [plan.known_adapters.for_language(language).name for language in plan.adapters]
    logger.info("adapters: %s", listed(names) or "none")
    prepare([models.tower, *(spec.tower for spec in models.specs)])

    return Service(models, towers.image, plan.limits, plan.adapters_dir, photographs, plan.immich)


def _immich(parsed: argparse.Namespace, config: ExperimentConfig, port: int) -> Immich | None:
    """Return the client of immich's service; None without --immich-upstream.

    Raise ConfigError if the address is wrong or that of this server, if another service answers
    there, or if immich's model does not have the text tower.
    """
    if parsed.immich_upstream is None:
        if parsed.immich_model is not None:
            raise ConfigError("--immich-model: expected --immich-upstream with it")
        return None

    from pecl.apps.export.immich import MODELS, names_of

    names = names_of(config.profile, config.text_model)
    model = parsed.immich_model or next(iter(names), None)
    tower = config.text_model or config.profile
    if model is None:
        raise ConfigError(
            f"--immich-upstream: immich does not list the text tower {tower}: expected a --profile such as vit-b-32, "
            "or --text-model FOLDER with --immich-model NAME"
        )
    if model not in MODELS:
        raise ConfigError(unknown("multilingual model of immich", model, MODELS))
    if model not in names and (names or config.text_model is None):
        raise ConfigError(
            f"--immich-model: {model} has the text tower {MODELS[model].profile or MODELS[model].text}, got {tower}"
        )

    immich = _with_extra("upstream").Immich(parsed.immich_upstream, model)
    if immich.upstream in [f"http://{host}:{port}" for host in (*LOOPBACK, parsed.host)]:
        raise ConfigError(f"--immich-upstream: expected the address of immich's own service, got this server's, {port}")

    immich.check()
    return immich


def _check_width(model: str, width: int) -> None:
    """Raise ConfigError if the text tower cannot be that of immich's model, whose width is known for most."""
    from pecl.apps.export.immich import MODELS

    profile = MODELS[model].profile
    if profile is not None and PAIRS[profile].width != width:
        raise ConfigError(
            f"--immich-model: {model} embeds into {PAIRS[profile].width} dimensions, and the text tower into {width}"
        )
