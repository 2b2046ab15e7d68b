"""Digests of the losses, recipes and adapters that a program has registered in memory, by the source that has them.

The digest of a function or class at the top level of a module is that of the module's file, or of
all files of its package, as for a plug-in. It does not cover what these import from elsewhere, nor
values that the program has computed.

Anything else (a notebook's cell, a closure, an instance) cannot be compared, and gets a random
token for as long as the process has it: this process finds its own results complete, and any other
trains again.
"""

import logging
import secrets
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from pecl.config.experiment import ExperimentConfig
from pecl.config.plugins import hashes_of, sha256_of_source, source_of
from pecl.config.recipes import Recipe
from pecl.files import sha256_json
from pecl.options import Registry, split_unquoted

logger = logging.getLogger(__name__)

# id of a registered object -> the object, so that no other gets its id; digest
_digests: dict[int, tuple[Any, str]] = {}


def code_hashes(config: ExperimentConfig) -> dict[str, str]:
    """Return the digest of each registered loss, recipe and adapter that a config names, by names such as `loss gram`.

    What a plug-in registered has the SHA-256 of the plug-in, so that all processes agree. It is
    left out if the config names the plug-in: `plugin` has the SHA-256 then.
    """
    parts = split_unquoted(config.adapter, "+")
    recipes = [] if config.recipe is None else [config.recipe]
    names_of = {"loss": config.losses, "recipe": recipes, "adapter": [part.partition(":")[0].strip() for part in parts]}
    plugin_hashes = hashes_of(config.plugin)

    hashes: dict[str, str] = {}
    for registry in Registry.all:
        for name in names_of.get(registry.kind, ()):
            registered = registry.added(name)
            if registered is None:
                continue
            plugin = source_of(registry, name)
            if plugin in plugin_hashes:
                continue
            label = f"{registry.kind} {name}"
            hashes[label] = plugin or code_digest(registered, label)

    return hashes


def code_digest(registered: Any, label: str) -> str:
    """Return the digest of a function, class, instance or recipe; a warning names it as `label` if it gets a token."""
    if isinstance(registered, Recipe):
        described = [repr(getattr(registered, field.name)) for field in fields(registered) if field.name != "make"]
        code = code_digest(registered.make, label) if callable(registered.make) else registered.make
        return sha256_json([*described, code])

    key = id(registered)
    if key not in _digests:
        path = _file_of(registered)
        if path is None:
            message = "%s is no function or class at the top of a file, so its code cannot be compared: other processes"
            logger.warning(f"{message} train its runs again", label)
        digest = secrets.token_hex(16) if path is None else sha256_of_source(path, path.name == "__init__.py")
        _digests[key] = registered, sha256_json([registered.__qualname__, digest]) if path else digest
    return _digests[key][1]


def _file_of(registered: Any) -> Path | None:
    """Return the file of a function or class at the top level of a module, or the `__init__.py` of its package."""
    name = getattr(registered, "__module__", None) or ""
    module = sys.modules.get(name)
    if getattr(module, getattr(registered, "__qualname__", ""), None) is not registered:
        return None

    package = sys.modules.get((getattr(module, "__package__", None) or name).partition(".")[0])
    for source in (package, module):
        path = Path(getattr(source, "__file__", None) or "")
        if path.is_file():
            return path
    return None
