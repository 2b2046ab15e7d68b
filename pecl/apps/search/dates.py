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
_BEFORE = "a|in|on|of|from|im|am|vom|von|en|le|du|de|del|el|nel|nell|di|v|ve|ze|z|dne|vo|zo|dňa|w|we|dnia|в|во|от"
# Words before a single date that leave one side open
_SIDES = {
    "since": "since|seit|ab|depuis|dès|desde|dal|dall|sinds|vanaf|od|с|со|tangu",
    "later": "after|nach|après|después de|después del|dopo|dopo il|depois de|após|po|после|baada ya",
    "earlier": "before|vor|avant|antes de|antes del|prima del|prima di|vóór|voor|před|przed|pred|перед|kabla ya",
    "until": "until|till|up to|bis|jusqu['’]en|jusqu['’]au|hasta|fino al|fino a|até|tot|do|až do|до|hadi",
}
_FILLERS = "the|dem|der|zum|le|el|il|roku|rokem|rokom|rokiem"
# first day, and day after the last one, of an open side: the years that are read
_EARLIEST = datetime.date(1800, 1, 1)
_LATEST = datetime.date(2100, 1, 1)
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
        """The days in English: in July 2019, on July 12, 2019, from 2018 to 2020, since 2015, or until 2018."""
        last = self.before - datetime.timedelta(days=1)
        if self._is_of_years:
            ends = [str(self.after.year), str(last.year)]
        elif self._is_of_months:
            ends = [f"{day:%B} {day.year}" for day in (self.after, last)]
        else:
            ends = [f"{day:%B} {day.day}, {day.year}" for day in (self.after, last)]

        if self.before == _LATEST:
            return f"since {ends[0]}"
        if self.after == _EARLIEST:
            return f"until {ends[1]}"
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

    A single date after a word such as `since` or `before` has an open side.

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
    sides: list[str | None] = []
    for pattern in _patterns():
        for match in pattern.finditer(masked):
            parts = match.groupdict()
            days = _range(parts, is_day_first)
            if days is None:
                continue

            ranges.append(days)
            written.append(match["date"])
            sides.append(next((side for side in _SIDES if parts[side]), None))

            # The first part of a range may have no year of its own
            start = match.start()
            first_part = _first_part().search(masked, 0, match.start("date"))
            first_days = None if first_part is None else _first_days(first_part.groupdict(), parts, days, is_day_first)
            if first_part is not None and first_days is not None:
                ranges.append(first_days)
                start = min(start, first_part.start())

            masked = masked[:start] + _MASK * (match.end() - start) + masked[match.end() :]

    if not ranges:
        return None
    if len(ranges) == 1:
        ranges = [_opened(*ranges[0], sides[0])]

    remaining_text = re.sub(rf"{_MASK}\s*(?:{_UNTIL})\s*{_MASK}", _MASK, masked, flags=re.IGNORECASE)
    words = re.sub(rf"[\s{_MASK}]+", " ", remaining_text).strip(" ,;:-–—()[]")
    if not any(character.isalnum() for character in words):
        words = ""  # a sign between dates
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
        rf"{_YEAR}[/–-](?P<last_year>[0-9]{{2}})(?!\s?[./-]?[0-9]){_END}",
        rf"{_YEAR}(?:[年년]|{_END})",
    )
    sides = "|".join(f"(?P<{side}>{words})" for side, words in _SIDES.items())
    start = rf"(?:(?<!\w)(?:{_BEFORE}|{sides})\s+(?:(?:{_FILLERS})\s+)?)?(?<!{_LETTER})"

    return tuple(re.compile(f"{start}(?P<date>{form})", re.IGNORECASE) for form in forms)


@cache
def _first_part() -> re.Pattern[str]:
    """Return the form of a day or month that ends with a word for `until`: 5-, 24.12. bis, June to."""
    names = {name for language in _table().values() for month in language["names"] for name in month.split()}
    month = rf"(?P<name>{_alternatives({*names, *map(_plain, names)})})"
    day = r"(?P<day>[0-9]{1,2})(?:\s?\.|st|nd|rd|th|er|º|°)?"
    day_and_number = r"(?P<numbered_day>[0-9]{1,2})\.\s?(?P<month>[0-9]{1,2})\.?"

    words = "|".join([_BEFORE, *_SIDES.values()])
    start = rf"(?<![\w./-])(?:(?:{words})\s+(?:(?:{_FILLERS})\s+)?)?"
    until = rf"(?:\s*[–—-]\s*|\s+(?:{_UNTIL})\s+(?:(?:{_FILLERS})\s+)?)"
    form = rf"{start}(?:{day_and_number}|{day}(?:\s*{_BETWEEN}{month})?|{month.replace('name', 'only_name')}){until}$"
    return re.compile(form, re.IGNORECASE)


def _first_days(
    first: dict[str, str | None],
    second: dict[str, str | None],
    second_days: tuple[datetime.date, datetime.date],
    is_day_first: bool,
) -> tuple[datetime.date, datetime.date] | None:
    """Return the days of the first part of a range, which takes the missing month and year of the second; or None."""
    end = second_days[0]
    has_day = second_days[1] - end == datetime.timedelta(days=1)
    day = first["day"] or first["numbered_day"]
    name = first["name"] or first["only_name"]
    has_month = bool(name or first["month"])
    if bool(day) != has_day or not (day or _month(second)):
        return None

    parts = {"year": str(end.year), "day": day, "name": name, "month": first["month"]}
    if not has_month:
        parts["month"] = str(end.month)

    days = _range(parts, is_day_first)
    if days is not None and days[0] > end and has_month:  # from December to January
        days = _range({**parts, "year": str(end.year - 1)}, is_day_first)
    return days


def _opened(first: datetime.date, before: datetime.date, side: str | None) -> tuple[datetime.date, datetime.date]:
    """Return the days of a date with the side open that the word before it names; see `_SIDES`."""
    if side == "since":
        return first, _LATEST
    if side == "later":
        return before, _LATEST
    if side == "earlier":
        return _EARLIEST, first
    if side == "until":
        return _EARLIEST, before
    return first, before


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
        if parts.get("last_year"):  # 2018/19
            last_year = year - year % 100 + int(parts["last_year"] or 0)
            if last_year <= year:
                return None
            return datetime.date(year, 1, 1), datetime.date(last_year + 1, 1, 1)
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
