"""Long lists of numbers in a result, held without an object each: thousands of results hold millions of ranks.

A rank takes 2 bytes where all of its list are below 65,536, and 4 or 8 else; a validation's step and value take 16 at
most. Both classes are read-only sequences, equal to any other sequence of the same values.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")


class _Held(Sequence[T]):
    """A sequence that is compared by its values."""

    __slots__ = ()
    __hash__ = None  # pyright: ignore[reportAssignmentType]

    @abstractmethod
    def __iter__(self) -> Iterator[T]: ...

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        return tuple(self)[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __repr__(self) -> str:
        return repr(tuple(self))


class Numbers(_Held[int]):
    """Whole numbers of at most 64 bits."""

    __slots__ = ("_held",)

    def __init__(self, values: Iterable[int]) -> None:
        """Take the values.

        Raises:
            OverflowError: one has more than 64 bits, or one is negative and another has 64.
        """
        self._held = _smallest(tuple(values))

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[int]:
        return iter(self._held)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        import numpy as np

        return np.array(self._held, dtype or np.int64)


class Points(_Held[tuple[int, float]]):
    """Pairs (step, value)."""

    __slots__ = ("_steps", "_values")

    def __init__(self, pairs: Iterable[Sequence[Any]]) -> None:
        """Take the pairs.

        Raises:
            OverflowError: as `Numbers`.
        """
        pairs = tuple(pairs)
        self._steps, self._values = _smallest([step for step, _ in pairs]), array("d", [value for _, value in pairs])

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[tuple[int, float]]:
        return zip(self._steps, self._values, strict=True)


def _smallest(values: Sequence[int]) -> array[int]:
    """Return `values` in the first of these types of array that holds them all."""
    for code in "HIq":
        try:
            return array(code, values)
        except OverflowError:
            pass
    return array("Q", values)
