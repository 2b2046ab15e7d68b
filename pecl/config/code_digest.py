"""Digests of the losses and adapters that a program has registered in memory: of their code and all that it uses.

A digest covers bytecode, not source, which a notebook's cells do not have. It follows functions,
classes and modules of the user's own, and holds values as pickle would store them: constants,
defaults, closures, globals, attributes. It has the names of functions of installed packages, not
their code. Bytecode differs between versions of Python.

A value that cannot be pickled, or a function that reads code or files, gets a random token for as
long as the process lives: this process finds its own results complete, and any other trains again.
"""

import builtins
import copyreg
import dis
import logging
import secrets
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from pecl.config.experiment import ExperimentConfig
from pecl.config.plugins import hashes_of, source_of
from pecl.files import sha256_bytes, sha256_json
from pecl.options import Registry, split_unquoted

logger = logging.getLogger(__name__)

_SIMPLE = (type(None), type(...), bool, int, float, complex, str, bytes)
_HIDING = {"__import__", "compile", "eval", "exec", "globals", "open"}  # what they read is not in the bytecode
# Members of a class that change no value: the methods of a dataclass follow from its fields
_UNUSED = (
    {"__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__annotate__"}
    | {"__annotate_func__", "__annotations_cache__", "__firstlineno__", "__static_attributes__", "_abc_impl"}
    | {"__abstractmethods__", "__dataclass_fields__", "__dataclass_params__"}
)
_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME")
# id of a value -> the value, so that no other gets its id; token
_tokens: dict[int, tuple[Any, str]] = {}
_reported: set[tuple[str, str]] = set()


def code_hashes(config: ExperimentConfig) -> dict[str, str]:
    """Return the digest of each registered loss and adapter that a config names, by names such as `loss gram`.

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
    """Return the digest of a function, class or instance; a warning names it as `label` if other processes differ."""
    digest = _Digest(registered)
    result = digest.of(registered)
    if digest.reasons and (label, result) not in _reported:
        _reported.add((label, result))
        message = "%s uses %s, which cannot be compared: other processes train its runs again"
        logger.warning(message, label, " and ".join(dict.fromkeys(digest.reasons)))
    return result


class _Digest:
    """Walks over a value and all that it uses. `reasons` names what had to be replaced by a token."""

    def __init__(self, registered: Any) -> None:
        self.reasons: list[str] = []
        module = getattr(registered, "__module__", None) or ""
        self._package = module.partition(".")[0]

        # id -> value and digest; values are held, so ids stay theirs
        self._done: dict[int, tuple[Any, str]] = {}
        self._open: list[int] = []  # ids of the values around the present one

        self._parts: dict[type, Callable[[Any], list[Any]]] = {
            CodeType: self._code,
            FunctionType: self._function,
            MethodType: lambda method: [self.of(method.__func__), self.of(method.__self__)],
            staticmethod: lambda method: [self.of(method.__func__)],
            classmethod: lambda method: [self.of(method.__func__)],
            property: lambda value: [self.of(value.fget), self.of(value.fset), self.of(value.fdel)],
            list: lambda values: [self.of(value) for value in values],
            tuple: lambda values: [self.of(value) for value in values],
            set: lambda values: sorted(self.of(value) for value in values),
            frozenset: lambda values: sorted(self.of(value) for value in values),
            dict: lambda values: [[self.of(key), self.of(value)] for key, value in values.items()],
        }

    def of(self, value: Any, names: frozenset[str] = frozenset()) -> str:
        """Return the digest of a value; of a module, only what it has under `names`."""
        if type(value) in _SIMPLE:
            return f"{type(value).__name__} {value!a}"

        key = id(value)
        if key in self._open:
            return f"loop {self._open.index(key)}"
        if key in self._done:
            return self._done[key][1]

        self._open.append(key)
        try:
            parts = self._module(value, names) if isinstance(value, ModuleType) else self._parts_of(value)
        except Exception:  # a value may refuse to be pickled with any error
            parts = self._token(value, f"a value of the type {type(value).__name__}")
        finally:
            self._open.pop()

        digest = sha256_json([type(value).__name__, parts])
        if not isinstance(value, ModuleType):
            self._done[key] = (value, digest)
        return digest

    def _parts_of(self, value: Any) -> list[Any]:
        if isinstance(value, type):
            return self._class(value)
        if type(value) in self._parts:
            return self._parts[type(value)](value)

        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            content = value.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().tobytes()
            return [str(value.dtype), list(value.shape), sha256_bytes(content)]

        return self._pickled(value)

    def _is_own(self, module: str | None) -> bool:
        """Return whether a module is the user's: of the registered object's package, or of no installed one."""
        top = (module or "builtins").partition(".")[0]
        if top in sys.stdlib_module_names or top in ("pecl", "torch"):
            return False
        path = getattr(sys.modules.get(top), "__file__", None) or ""
        return top == self._package or not {"site-packages", "dist-packages"} & set(Path(path).parts)

    def _function(self, function: FunctionType) -> list[Any]:
        cells = [self._cell(cell) for cell in function.__closure__ or ()]
        if not self._is_own(function.__module__):
            return [function.__module__, function.__qualname__, cells]
        values = (function.__code__, function.__defaults__, function.__kwdefaults__, vars(function))
        return [*(self.of(value) for value in values), cells, self._globals(function)]

    def _cell(self, cell: Any) -> str:
        try:
            return self.of(cell.cell_contents)
        except ValueError:
            return "empty"

    def _code(self, code: CodeType) -> list[Any]:
        counts = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags]
        names = [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars]
        exceptions = getattr(code, "co_exceptiontable", b"")  # since Python 3.11
        constants = [self.of(constant) for constant in code.co_consts]
        return [code.co_code.hex(), exceptions.hex(), counts, names, constants]

    def _globals(self, function: FunctionType) -> list[Any]:
        """Return name and digest of the globals and imported modules that a function uses."""
        codes = list(_nested(function.__code__))
        names = frozenset(name for code in codes for name in code.co_names)
        instructions = [instruction for code in codes for instruction in dis.get_instructions(code)]
        global_names = {instruction.argval for instruction in instructions if instruction.opname in _GLOBALS}
        module_names = {instruction.argval for instruction in instructions if instruction.opname == "IMPORT_NAME"}

        digests: list[Any] = []
        for name in sorted(global_names):
            if name in function.__globals__:
                digests.append([name, self.of(function.__globals__[name], names)])
            elif name in _HIDING:
                digests += self._token(function, f"{name}()")
            else:
                digests.append([name, "built in" if hasattr(builtins, name) else "missing"])

        # a relative import has no such module, and the function gets a token
        for name in sorted(module_names):
            digests.append([name, self.of(import_module(name), names)])
        return digests

    def _module(self, module: ModuleType, names: frozenset[str]) -> list[Any]:
        if not self._is_own(module.__name__):
            return [module.__name__]
        return [[name, self.of(vars(module)[name], names)] for name in sorted(names & vars(module).keys())]

    def _class(self, cls: type) -> list[Any]:
        if not self._is_own(cls.__module__):
            return [cls.__module__, cls.__qualname__]
        bases = [self.of(base) for base in cls.__bases__]
        members = sorted(vars(cls).keys() - _UNUSED)
        return [bases, [[name, self.of(vars(cls)[name])] for name in members]]

    def _pickled(self, value: Any) -> list[Any]:
        """Return what pickle would store of a value."""
        reduce = copyreg.dispatch_table.get(type(value))
        stored = reduce(value) if reduce else value.__reduce_ex__(4)
        if isinstance(stored, str):  # the name of a global
            return [getattr(value, "__module__", None), stored, self.of(getattr(value, "__wrapped__", None))]
        return [self.of(list(part) if isinstance(part, Iterator) else part) for part in stored]

    def _token(self, value: Any, reason: str) -> list[str]:
        self.reasons.append(reason)
        _, token = _tokens.setdefault(id(value), (value, secrets.token_hex(16)))
        return [token]


def _nested(code: CodeType) -> Iterator[CodeType]:
    """Yield a function's code, and the code of the functions and classes inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)
