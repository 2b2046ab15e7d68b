"""JSON that is read back: pydantic checks it against dataclasses, and one sentence names the first wrong value.

pydantic would take "3" for 3, and would turn 3 into 3.0: fields have the types `Text`, `Whole`, `Number` and `Flag`,
which do neither. Equal texts become one object, and `Ranks` are arrays: thousands of results repeat the same names and
checksums, and hold millions of ranks.
"""

import json
import math
import re
import sys
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, PlainSerializer, PlainValidator, Strict, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError


def decode(kind: Any, value: Any, path: str = "") -> Any:
    """Return a JSON value as an instance of the type `kind`; ignore keys that are not fields.

    Raises:
        ValueError: something is missing or of another type; the message begins with its dotted path.
    """
    try:
        return validated(kind, value)
    except ValidationError as error:
        raise ValueError(_sentence(error, path)) from error


def validated(kind: Any, value: Any) -> Any:
    """Return a value as `decode` does; validators of other types may let its ValidationError pass."""
    return _adapter(kind).validate_python(value)


def encode(value: Any) -> Any:
    """Return a dataclass as JSON takes it, without fields that have their defaults."""
    made = _adapter(type(value)).dump_python(value, by_alias=True, exclude_defaults=True, warnings=False)
    return json.loads(json.dumps(made))  # tuples become lists; pydantic's own JSON would make null of infinities


def wrong(path: str, value: Any, expected: str) -> ValueError:
    """Return the error that names a value and the expected one."""
    return ValueError(f"{path} is {brief(value)}, expected {expected}")


def brief(value: Any) -> str:
    """Return a JSON value as error sentences show it."""
    if value is None:
        return "null"
    return f"a {type(value).__name__}" if isinstance(value, (dict, list)) else repr(value)


_adapter = cache(TypeAdapter)
_EXPECTED = {
    "string": "text",
    "int": "a whole number",
    "bool": "true or false",
    "float": "a number",
    "finite": "a number",
    "list": "a list",
    "tuple": "a list",
    "too": "a step and a number",  # another length
}


def _sentence(error: ValidationError, prefix: str) -> str:
    first = error.errors(include_url=False)[0]
    kind, path = first["type"], ".".join(map(str, [*([prefix] if prefix else []), *first["loc"]]))
    if kind in ("missing", "lacks"):  # the latter from `lacking`
        return f"{path}.{first['msg']} is missing" if kind == "lacks" else f"{path} is missing"
    if kind == "extra_forbidden":
        return f"{path} is unknown to this version of pecl"
    if kind == "expected":  # from `_refused`
        expected = first["msg"]
    elif kind == "literal_error":
        choices = re.findall("'([^']*)'", first.get("ctx", {})["expected"])
        expected = f"one of {', '.join(choices)}"
    else:
        expected = _EXPECTED.get(kind.partition("_")[0], "an object")
    return str(wrong(path, first["input"], expected))


def lacking(key: str) -> PydanticCustomError:
    """Return the error by which a validator says that an object has no such key."""
    return PydanticCustomError("lacks", key)  # pyright: ignore[reportArgumentType]


def _refused(expected: str) -> PydanticCustomError:
    return PydanticCustomError("expected", expected)  # pyright: ignore[reportArgumentType]


def _number(value: Any) -> int | float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise _refused("a number")
    return value


def smallest(values: Iterable[int]) -> Sequence[int]:
    """Return whole numbers as an array of the first of these types that holds them all: 2 bytes each, or 4, or 8.

    Raises:
        OverflowError: one has more than 64 bits, or one is negative and another has 64.
    """
    values = tuple(values)
    for code in "HIq":
        with suppress(OverflowError):
            return array(code, values)
    return array("Q", values)


def _ranks(value: Any) -> Sequence[int]:
    if not isinstance(value, list) or set(map(type, value)) - {int}:
        raise _refused("a list of whole numbers")
    try:
        return smallest(value)
    except OverflowError:
        raise _refused("ranks or places: no whole number below 0 next to one of 64 bits") from None


Text = Annotated[str, Strict(), AfterValidator(sys.intern)]
Whole = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
Number = Annotated[float, PlainValidator(_number)]
Ranks = Annotated[Sequence[int], PlainValidator(_ranks), PlainSerializer(list)]
Points = tuple[tuple[Whole, Annotated[float, Strict()]], ...]  # (step, value); values may be infinite or NaN
