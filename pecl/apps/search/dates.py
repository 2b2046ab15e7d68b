"""Dates in the text of a query, such as "Juli 2019" or 12.7.2019, and the days that they mean.

Months may have their names in any language of the search page (`months.json`, from Unicode's CLDR).
A month counts only with its year, since names such as May and mars are ordinary words; a short form
needs a dot or a day, too, since "pro" and "lis" are words of Czech. In 12/7/2019 the person's first
language decides which number is the day. The countries of English differ, so that this means the
year 2019 to a person who speaks only English.
"""

import datetime
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

_MOST_DAYS = 366  # in a range that is written day by day; longer ones are written by months
_MASK = "\0"  # in place of the characters of a date that was read
_NUMBERS = {"十一": 11, "十二": 12} | {digit: number for number, digit in enumerate("一二三四五六七八九十", 1)}
_YEAR = r"(?P<year>1[89][0-9]{2}|20[0-9]{2})"
# A character of a word in a script with spaces; a year may follow a Chinese or Korean word at once.
_LETTER = r"[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
# Turkish endings and the Russian word for year are part of the date.
_END = rf"(?!{_LETTER})(?:['’]\w{{1,4}}|\s(?:г\.|год\w?))?"
# Words between a date and the rest of the query, or between its parts.
_BEFORE = (
    "a|in|on|of|from|since|im|am|vom|von|seit|en|le|du|de|del|el|nel|nell|di|"
    "v|ve|ze|z|od|dne|vo|zo|dňa|w|we|dnia|в|во|от|с"
)
_BETWEEN = r"(?:(?:of|de|del|den|di|du)\s+)?"
_UNTIL = r"-|–|—|to|till|until|bis|à|au|až|do|al|a|hasta|fino al|по|до|hadi"


class Days(NamedTuple):
    """The days that the dates of a query mean, and the query without them."""

    after: datetime.date  # first day
    before: datetime.date  # day after the last one
    text: str  # the query without its dates; empty if it has nothing else
    written: tuple[str, ...]  # the dates as the query has them

    @property
    def phrase(self) -> str:
        """The days in English: in July 2019, on July 12, 2019, or from 2018 to 2020."""
        last = self.before - datetime.timedelta(days=1)
        if self._is_of_years:
            ends = [str(self.after.year), str(last.year)]
        elif self._is_of_months:
            ends = [f"{day:%B} {day.year}" for day in (self.after, last)]
        else:
            ends = [f"{day:%B} {day.day}, {day.year}" for day in (self.after, last)]

        if ends[0] != ends[1]:
            return f"from {ends[0]} to {ends[1]}"
        return f"in {ends[0]}" if self._is_of_months else f"on {ends[0]}"

    def spellings(self) -> Iterator[str]:
        """Yield the days as names of files and folders may have them: 2019, or 2019 07, or the beginning 201907*."""
        yield from self.written
        last = self.before - datetime.timedelta(days=1)
        if self._is_of_years:
            for year in range(self.after.year, last.year + 1):
                yield from (str(year), f"{year}년")
            return

        by_month = self._is_of_months or (self.before - self.after).days > _MOST_DAYS
        parts = ("%Y", "%m") if by_month else ("%Y", "%m", "%d")

        day = self.after
        while day < self.before:
            yield day.strftime(" ".join(parts))
            yield day.strftime("".join(parts)) + "*"
            day = _next_month(day.year, day.month) if by_month else day + datetime.timedelta(days=1)

    @property
    def _is_of_months(self) -> bool:
        return self.after.day == self.before.day == 1

    @property
    def _is_of_years(self) -> bool:
        return self._is_of_months and self.after.month == self.before.month == 1


def find_days(text: str, languages: Iterable[str] = ()) -> Days | None:
    """Return the days from the first to the last date in a text, or None if it has none.

    Args:
        text: the query.
        languages: codes of the languages that the person speaks, the first one first.
    """
    if not re.search(_YEAR, text):
        return None

    masked = unicodedata.normalize("NFC", " ".join(text.split()))
    is_day_first = _is_day_first(languages)

    ranges: list[tuple[datetime.date, datetime.date]] = []
    written: list[str] = []
    for pattern in _patterns():
        for match in pattern.finditer(masked):
            days = _range(match.groupdict(), is_day_first)
            if days is not None:
                ranges.append(days)
                written.append(match["date"])
                masked = masked[: match.start()] + _MASK * len(match[0]) + masked[match.end() :]

    if not ranges:
        return None

    remaining_text = re.sub(rf"{_MASK}\s*(?:{_UNTIL})\s*{_MASK}", _MASK, masked, flags=re.IGNORECASE)
    words = re.sub(rf"[\s{_MASK}]+", " ", remaining_text).strip(" ,;:-–—()[]")
    return Days(min(first for first, _ in ranges), max(before for _, before in ranges), words, tuple(written))


@cache
def _table() -> dict[str, dict[str, Any]]:
    return json.loads((files("pecl.apps.search") / "months.json").read_text("utf-8"))


def _is_day_first(languages: Iterable[str]) -> bool:
    """Return whether 12/7/2019 is in July to a person: the first language decides that has months in the table."""
    return next((_table()[code]["is_day_first"] for code in languages if code in _table()), False)


@cache
def _months() -> dict[str, int]:
    """Return the number of each month by its names and short forms as `_plain` writes them."""
    numbers: dict[str, int] = {}
    for language in _table().values():
        for kind in ("names", "short"):
            for number, names in enumerate(language[kind], 1):
                for name in names.split():
                    numbers[_plain(name)] = number
    return numbers


def _plain(name: str) -> str:
    """Return a name in lower case without accents."""
    letters = unicodedata.normalize("NFKD", name.lower().replace("ı", "i"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """Return the forms of dates, those with more parts first."""
    names = {name for language in _table().values() for month in language["names"] for name in month.split()}
    short = {name for language in _table().values() for month in language["short"] for name in month.split()}
    month_names = _alternatives({*names, *map(_plain, names)})
    every = _alternatives({*names, *short, *map(_plain, names | short)})

    day = r"(?P<day>[0-9]{1,2})"
    number = r"(?P<month>[0-9]{1,2})"
    ordinal = r"(?:\s?\.|st|nd|rd|th|er|º|°)?"
    cjk = rf"(?P<month>[0-9]{{1,2}}|{_alternatives(_NUMBERS)})"

    forms = (
        rf"{_YEAR}\s?[年년]\s?{cjk}\s?[月월](?:\s?{day}\s?[日號号일])?",
        rf"{_YEAR}\s?(?P<sign>[./-])\s?{number}\s?(?P=sign)\s?{day}(?![0-9])\.?",
        rf"(?P<one>[0-9]{{1,2}})\s?(?P<sign>[./-])\s?(?P<two>[0-9]{{1,2}})\s?(?P=sign)\s?{_YEAR}{_END}",
        rf"{day}{ordinal}\s*{_BETWEEN}(?P<name>{every})\.?,?\s*{_BETWEEN}{_YEAR}{_END}",
        rf"(?P<name>{every})\.?\s*{day}{ordinal},?\s+{_YEAR}{_END}",
        rf"(?P<name>{month_names})[.,]?\s*{_BETWEEN}{_YEAR}{_END}",
        rf"(?P<name>{every})\.\s*{_YEAR}{_END}",
        rf"{_YEAR}\s+(?P<name>{month_names}){_END}",
        rf"{_YEAR}[./-]{number}(?!\s?[./-]?[0-9]){_END}",
        rf"(?<![./-])(?<![./-]\s){number}[./]\s?{_YEAR}{_END}",
        rf"{_YEAR}(?:[年년]|{_END})",
    )
    start = rf"(?:(?<!\w)(?:{_BEFORE})\s+(?:the\s+)?)?(?<!{_LETTER})"

    return tuple(re.compile(f"{start}(?P<date>{form})", re.IGNORECASE) for form in forms)


def _alternatives(names: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, names), key=len, reverse=True))


def _range(
    parts: dict[str, str | None],
    is_day_first: bool,
) -> tuple[datetime.date, datetime.date] | None:
    """Return the first day of a date and the day after its last; None if there is no such day, as February 30."""
    year = int(parts["year"] or 0)
    month = _month(parts)
    day = int(parts.get("day") or 0)
    if parts.get("one"):
        day, month = _day_and_month(int(parts["one"] or 0), int(parts["two"] or 0), parts["sign"], is_day_first)

    try:
        if day:
            first = datetime.date(year, month, day)
            return first, first + datetime.timedelta(days=1)
        if month:
            return datetime.date(year, month, 1), _next_month(year, month)
        return datetime.date(year, 1, 1), datetime.date(year + 1, 1, 1)
    except ValueError:
        return None


def _month(parts: dict[str, str | None]) -> int:
    """Return the month that a date has as a name or a number, 0 if it has none."""
    name = parts.get("name")
    if name:
        return _months()[_plain(name)]
    number = parts.get("month") or "0"
    return _NUMBERS[number] if number in _NUMBERS else int(number)


def _day_and_month(
    first: int,
    second: int,
    sign: str | None,
    is_day_first: bool,
) -> tuple[int, int]:
    """Return day and month of 12/7/2019; (0, 0) if either may be the day. With dots the day is first everywhere."""
    if second > 12:
        return second, first
    if first > 12 or first == second or sign == "." or is_day_first:
        return first, second
    return 0, 0


def _next_month(year: int, month: int) -> datetime.date:
    return datetime.date(year + month // 12, month % 12 + 1, 1)
