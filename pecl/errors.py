"""One-line errors: the problem, its location, the expected value, and the nearest valid choice."""

import contextlib
import difflib
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

# C0 except tab and newline, DEL, C1, other line breaks, and marks that change the direction of text
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

EMPTY_PATH = "expected a path, got an empty text"

NAMED: Any = object()  # value of a setting of which a message has only the name
Spelling = Callable[[str, Any], str]  # writes a setting by its name in Python and its value, or `NAMED`


def as_argument(name: str, value: Any) -> str:
    """Write a setting as in Python: `image_weight=0`, or `image_weight`."""
    return name if value is NAMED else f"{name}={value!r}"


def flag_words(name: str, value: Any) -> list[str]:
    """Return the words of a flag for a shell: `--image-weight 0`, `--clean`, `--no-clean`, or `--image-weight`."""
    flag = name.replace("_", "-")
    if value is NAMED:
        return [f"--{flag}"]
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", "none" if value is None else str(value)]


def command(*words: str, **flags: Any) -> str:
    """Return a command of the program for a message, such as `pecl index photos --rebuild`, with its quotes."""
    return f"`{shlex.join(['pecl', *words, *(word for item in flags.items() for word in flag_words(*item))])}`"


_spelling: Spelling = as_argument


@contextlib.contextmanager
def spelled(spelling: Spelling) -> Iterator[None]:
    """Write the settings in messages by `spelling` in the body, in all threads. The command line writes flags."""
    global _spelling
    before = _spelling
    _spelling = spelling
    try:
        yield
    finally:
        _spelling = before


def setting(*names: str, **values: Any) -> str:
    """Return settings as the reader of a message writes them: `image_weight=0` in Python, see `spelled`."""
    return " ".join([*(_spelling(name, NAMED) for name in names), *(_spelling(*item) for item in values.items())])


def not_the_adapter_of(result: object) -> tuple[str, str]:
    """Return problem and remedy for an adapter file whose SHA-256 is not the one in `result`."""
    return f"is not the adapter that {result} was measured with", "put the right file there, or run it again"


class PeclError(ValueError):
    """Invalid input. The command line prints a one-line error and exits with status 2.

    Args:
        problem: what is wrong; `expected ..., got ...` by default.
        field: the setting that is wrong: the argument, or field of a config, by its name in Python.
        place: the file, or other source, that has it.
        expected: what the setting accepts.
        got: its value, as text.
        nearest: the valid choice with the most similar spelling.
    """

    def __init__(
        self,
        problem: str = "",
        *,
        field: str | None = None,
        place: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        nearest: str | None = None,
    ) -> None:
        hint = "" if nearest is None else f'; did you mean "{nearest}"?'
        super().__init__(problem or f"expected {expected}, got {got}{hint}")
        self.field = field
        self.place = place
        self.expected = expected
        self.got = got
        self.nearest = nearest

    @property
    def problem(self) -> str:
        """The message without place and field."""
        return self.args[0]

    @property
    def keyed(self) -> str:
        """The message with the field by its name in Python: the key in a file, or the option in an adapter's spec."""
        return self._written(self.field)

    def __str__(self) -> str:
        return self._written(None if self.field is None else setting(self.field))

    def _written(self, field: str | None) -> str:
        return ": ".join([part for part in (self.place, field) if part] + [self.problem])


class ConfigError(PeclError):
    """A configuration field, flag or YAML key is wrong."""


class FleetSizeError(ConfigError):
    """A fleet has more runs than can be trained together here."""


class DataError(PeclError):
    """A data set, caption file, translation or image is wrong or missing."""


class WeightsError(PeclError):
    """Model weights, a checkpoint or an adapter file are missing, damaged or made for something else."""


class OutputError(PeclError):
    """A result, checkpoint or cache cannot be written."""


class ReportedElsewhereError(PeclError):
    """Another process of the same training failed and reports it; the command line adds nothing."""


class RunError(RuntimeError):
    """A run failed, though its input is sound. The command line prints a one-line error and exits with status 1."""


class DivergedError(RunError):
    """The loss or the embeddings of a training are no longer finite."""


class NotFiniteError(RunError, ValueError):
    """Embeddings hold values that are not numbers, so nothing can be measured with them."""


def raise_problems(problems: Sequence[ConfigError], place: str | None = None) -> None:
    """Raise one error that states all problems, each once, at their `place`; return if there are none."""
    if not problems:
        return
    first = problems[0]
    sentences = list(dict.fromkeys(map(str, problems)))
    if len(sentences) > 1:
        raise ConfigError("; ".join(sentences), place=place)
    parts = {"expected": first.expected, "got": first.got, "nearest": first.nearest}
    raise ConfigError(first.problem, field=first.field, place=place or first.place, **parts)


def printable(text: str) -> str:
    r"""Return text as a terminal may show it: control characters except tab and newline are escaped, as in `\x1b`."""
    return _CONTROLS.sub(lambda match: ascii(match.group())[1:-1], text)


def one_line(text: object) -> str:
    """Return text, such as a library's message, without line breaks; unprintable characters are escaped."""
    words = " ".join(str(text).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)


def shell_quoted(path: object) -> str:
    """Return a path as a shell reads it: in quotes if it has spaces, for a command in a message."""
    return shlex.quote(str(path))


def is_text(text: str) -> bool:
    """Return whether UTF-8 can hold `text`. JSON escapes and bytes of a command line can leave half a character."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def nearest(value: object, choices: Iterable[str]) -> str | None:
    """Return the member of `choices` with the most similar spelling, or None."""
    by_lower_case = {choice.lower(): choice for choice in choices}
    text = str(value).lower()
    cutoff = 0.5 if len(text) > 2 else 0.6  # codes that share one letter of two differ, such as uk and ru
    near = difflib.get_close_matches(text, by_lower_case, n=1, cutoff=cutoff)
    return by_lower_case[near[0]] if near else None


def suggest(value: object, choices: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest of `choices`, or an empty string when none is near."""
    near = nearest(value, choices)
    return f"; did you mean {near!r}?" if near else ""


def unknown(kind: str, value: object, choices: Iterable[str]) -> str:
    """Return the sentence for a value that is not among `choices`: it has the nearest, and all if they are few."""
    choices = sorted(choices)
    named = ", ".join(choices) if len(choices) <= 40 else f"{len(choices)}, such as {', '.join(choices[:5])}"
    return f"unknown {kind} {value!r}: expected one of {named}{suggest(value, choices)}"


def install(extra: str) -> str:
    """Return the command that installs an extra of pecl, such as `search`: no package index has pecl."""
    return f"pip install -e '.[{extra}]' in the clone of pecl"


def not_none(value: T | None, name: str) -> T:
    """Return `value`, which is not None here; raise a TypeError with its `name` for a bug of the caller."""
    if value is None:
        raise TypeError(f"{name}: expected a value, got None")
    return value
