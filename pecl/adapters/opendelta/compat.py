"""Import OpenDelta 0.3.2 next to transformers 5: supplies the three names that its import lacks, only for the import.

OpenDelta binds these names when it is imported, so none of them has to stay: afterwards `sys.modules`, `sys.path` and
transformers are as before, except for OpenDelta's own modules.
"""

import contextlib
import importlib
import logging
import sys
import types
import warnings
from collections.abc import Iterator
from typing import Any, cast

from transformers.integrations import deepspeed
from transformers.models.distilbert import modeling_distilbert

from pecl.errors import ConfigError

INSTALL_COMMAND = "pip install -r requirements.txt -r requirements-opendelta.txt"


def import_opendelta() -> types.ModuleType:
    """Return the module `opendelta`, or raise ConfigError, which gives the command that installs it."""
    if "opendelta" in sys.modules:
        return sys.modules["opendelta"]
    try:
        with _names_opendelta_lacks(), warnings.catch_warnings():
            # DeltaCenter, which OpenDelta imports, reads its version through pkg_resources.
            warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
            opendelta = importlib.import_module("opendelta")
    except ImportError as error:
        raise ConfigError(f"OpenDelta cannot be imported ({error}): install it with `{INSTALL_COMMAND}`") from error
    # OpenDelta logs each config at INFO and each build at WARNING, on a handler of its own.
    logging.getLogger("opendelta").setLevel(logging.ERROR)
    return opendelta


@contextlib.contextmanager
def _names_opendelta_lacks() -> Iterator[None]:
    """Supply the missing names while OpenDelta is imported, then take them away again."""
    modules = {
        # transformers 5 has moved these two functions to `transformers.integrations`; OpenDelta never calls them.
        "transformers.deepspeed": _module(
            "transformers.deepspeed",
            deepspeed_config=deepspeed.deepspeed_config,
            is_deepspeed_zero3_enabled=deepspeed.is_deepspeed_zero3_enabled,
        ),
        # `from turtle import back`, left there by an editor and never used, needs tkinter: absent on most servers.
        "turtle": _module("turtle", back=None),
    }
    replaced = {name: sys.modules.get(name) for name in modules}
    path = list(sys.path)
    sys.modules.update(modules)
    # transformers 5 has renamed the class; OpenDelta's prefix tuning compares types with it, which pecl does not use.
    distilbert = cast(Any, modeling_distilbert)
    distilbert.MultiHeadSelfAttention = distilbert.DistilBertSelfAttention
    try:
        yield
    finally:
        del distilbert.MultiHeadSelfAttention
        sys.path[:] = path  # OpenDelta puts a folder of its own first, with modules named `bert`, `t5`, ...
        for name, module in replaced.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module


def _module(name: str, **attributes: object) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(attributes)
    return module
