"""JSON of dataclasses: pydantic converts it, and one sentence names the first wrong value.

Equal texts become one object, and `Ranks` are arrays: thousands of results repeat the same names and checksums, and
hold millions of ranks. `Number` and `Points` stay as they are: pydantic would turn 3 into 3.0.
"""

import json
import sys
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, PlainSerializer, PlainValidator, SkipValidation, Strict, TypeAdapter
from pydantic_core import ValidationError


def decode(kind: Any, value: Any) -> Any:
    """Return a JSON value as an instance of the type `kind`; ignore keys that are not fields.

    Raises:
        ValueError: something is missing or of another type; the message begins with its dotted path.
    """
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def encode(value: Any) -> Any:
    """Return a dataclass as a JSON value, without fields that have their defaults."""
    document = _adapter(type(value)).dump_python(value, by_alias=True, exclude_defaults=True, warnings=False)
    return json.loads(json.dumps(document))  # tuples become lists; pydantic's own JSON would make null of infinities


_adapter = cache(TypeAdapter)


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


Text = Annotated[str, Strict(), AfterValidator(sys.intern)]
Whole = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
Number = SkipValidation[float]
Ranks = Annotated[Sequence[int], PlainValidator(smallest), PlainSerializer(list)]
Points = tuple[tuple[Whole, Number], ...]  # (step, value); values may be infinite or NaN
