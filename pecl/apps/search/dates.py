"""Dates in the text of a query, such as "Juli 2019" or 12.7.2019, and the days that they mean.

A text is a line of words, numbers and signs. Each has a kind, one letter: Y for a year, N for a
number of one or two digits, M for the name of a month. `_FORMS` are patterns of kinds, so that
`NMY` is a day, a month and a year.

Months may have their names in any language of the search page (`months.json`, from Unicode's CLDR).
A month counts only with its year, since names such as May and mars are ordinary words; short forms
that are words, too, need a dot or a day ("lis" is a fox in Polish). In 12/7/2019 the person's first
language decides which number is the day. The countries of English differ, so that this means the
year 2019 to a person who speaks only English.
"""

import datetime
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import takewhile
from typing import Any, NamedTuple

_LOOKED_AT = 300  # characters of a query, in which dates are looked for
_MOST_DATES = 4
_MOST_DAYS = 366  # in a range that is written day by day; longer ones are written by months
# first day, and day after the last one, of an open side: the years that are read
_EARLIEST = datetime.date(1800, 1, 1)
_LATEST = datetime.date(2100, 1, 1)

# Scripts without spaces, where a year may follow a word at once, and each character is an item
_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_LETTER = rf"[^\W\d_{_UNSPACED}]"
_ITEM = re.compile(rf"\d+|[一二三四五六七八九十]+(?=\s?月)|{_LETTER}+['’]?|\S")
_NUMBERS = {"十一": 11, "十二": 12} | {digit: number for number, digit in enumerate("一二三四五六七八九十", 1)}
_KINDS = {
    # words before a date that leave one side open: since, later, earlier, until; the last also stands between dates
    "s": "since seit ab depuis dès desde dal dall' sinds vanaf od с со tangu từ από منذ מאז",
    "l": "after nach après después dopo depois após po после baada sau μετά بعد אחרי",
    "e": "before vor avant antes prima vóór voor před przed pred перед kabla trước πριν قبل לפני",
    "u": "until till up bis jusqu' jusqu’ hasta fino até tot až do до hadi đến έως μέχρι حتى עד",
    "t": "to à au al a по",  # between dates
    # words between a date and the rest of the query, or between its parts
    "o": "of de del den di du d' d’ năm nam",
    "p": "in on from im am vom von en em le el nel nell' v ve z ze dne vo zo dňa w we dnia в во от op van vào trong "
    "ngày ngay τον του في",
    "f": "the dem der zum le el il l' l’ ya year jahr jahre année año anno ano rok roku roce rokem rokom "
    "rokiem jaar عام",
    "T": "tháng thang thg",  # before the number of a month
    "z": "г год года году",  # after a year
    "h": "st nd rd th er º °",  # after the number of a day
    "j": "年 년",
    "k": "月 월",
    "d": "日 號 号 일",
    "-": "- – —",
    **{sign: sign for sign in "./,&"},
    "'": "' ’",
}
_KIND = {word: kind for kind, words in _KINDS.items() for word in words.split()}
# Short forms of months that are words of some language
_ALSO_WORDS = frozenset("ago ara dub giu kas led lip lis mag mar oca out pro set sie srp".split())  # noqa: SIM905

# Dates, those with more parts first. A date with a day that no calendar has is none.
_DAYS = (
    r"(?P<year>Y)j(?P<month>N)k(?P<day>N)d",
    r"(?P<year>Y)(?P<sign>[./-])(?P<month>N)(?P=sign)(?P<day>N)\.?",
    r"(?<![./])(?P<one>N)(?P<sign>[./-])(?P<two>N)(?P=sign)(?P<year>Y)",
    r"(?<![./])(?P<one>N)(?P<sign>[./])(?P<two>N)(?P=sign)(?P<last_year>N)(?![./-]?[NY])",
    r"(?P<day>N)[.h]?o{0,2}(?P<month>[MSA])\.?,?o{0,2}(?P<year>Y)",
    r"(?P<month>[MSA])\.?(?P<day>N)[.h]?,?(?P<year>Y)",
    r"(?P<year>Y)\.?(?P<month>[MSA])\.?(?P<day>N)[.h]",
    r"(?P<day>N)T(?P<month>N)[o,/]?(?P<year>Y)",
)
_MONTHS = (
    r"(?P<year>Y)j(?P<month>N)k",
    r"T(?P<month>N)[o,/]?(?P<year>Y)",
    r"(?P<month>[MS])[.,]?o{0,2}(?P<year>Y)",
    r"(?P<month>A)\.o{0,2}(?P<year>Y)",
    r"(?P<year>Y)\.?(?P<month>M)\.?",
    r"(?P<year>Y)\.(?P<month>[SA])\.",
    r"(?<![./])(?P<month>N)[./](?P<year>Y)",
)
_WITHOUT_SPACES = (
    r"(?P<year>Y)[./-](?P<month>N)(?![./-]?[NY])",
    r"(?P<year>Y)[/-](?P<last_year>N)(?![./-]?N)",  # 2018/19
)
_YEAR = r"(?P<year>Y)j?"
_BEFORE = r"(?:(?P<side>[sleu])[topf]{0,2}|[topf]{1,3})?"
# A day or a month that begins a range, and has no year of its own: 5-, 24.12. bis, June to
_FIRST = (
    r"(?:(?:(?P<first_day>N)\.(?P<first_number>N)\.?|(?P<first>N)[.h]?(?:o{0,2}(?P<first_month>M))?|(?P<only_month>M))"
    r"(?:-|[ut][pf]{0,2}))?"
)
_END = r"(?:'\w)?(?:z\.?)?"


_OF_FIRST = ("first", "first_day", "only_month")


@cache
def _forms() -> list[tuple[re.Pattern[str], bool, bool]]:
    """Return the patterns of dates with the words before them; whether they have a day, and may have no spaces."""
    return [
        (re.compile(f"{_BEFORE}{_FIRST}(?P<date>{form}){_END}"), form in _DAYS, form in _WITHOUT_SPACES)
        for form in (*_DAYS, *_MONTHS, *_WITHOUT_SPACES, _YEAR)
    ]


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


class _Date(NamedTuple):
    """A date in a text; its days are None if no calendar has such a day, as February 30."""

    days: tuple[datetime.date, datetime.date] | None  # first day, day after the last one
    side: str | None  # kind of the word before it that leaves a side open
    start: int  # first item of it, and of the words that belong to it
    end: int  # item after it
    written: str


def find_days(text: str, languages: Iterable[str] = ()) -> Days | None:
    """Return the days from the first to the last date in a text, or None if it has none.

    A single date after a word such as `since` or `before` has an open side. Dates are looked for in
    the first `_LOOKED_AT` characters, at most `_MOST_DATES` of them.

    Args:
        text: the query.
        languages: codes of the languages that the person speaks, the first one first.
    """
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    items = list(takewhile(lambda item: item.start() < _LOOKED_AT, _ITEM.finditer(text)))
    kinds = "".join(_kind(item) for item in items)
    is_day_first = _is_day_first(languages)

    dates: list[_Date] = []
    position = 0
    while position < len(items) and len(dates) < _MOST_DATES:
        date = _date_at(position, text, items, kinds, is_day_first)
        if date is not None and date.days is not None:
            dates.append(date)
        position = position + 1 if date is None else date.end

    ranges = [date.days for date in dates if date.days is not None]
    if not ranges:
        return None
    if len(dates) == 1:
        ranges = [_opened(*ranges[0], dates[0].side)]
    after, before = min(first for first, _ in ranges), max(before for _, before in ranges)
    return Days(after, before, _without(dates, text, items, kinds), tuple(date.written for date in dates))


def _kind(item: re.Match[str]) -> str:
    """Return the kind of an item, one letter; x for any other."""
    word = item.group().lower()
    if word in _NUMBERS:
        return "N"
    if not word.isdecimal():
        return _KIND.get(word) or _months().get(_plain(word), (0, "x"))[1]

    text, end = item.string, item.end()
    if re.match(f"{_LETTER}|_", text[item.start() - 1 : item.start()]):  # IMG_2019
        return "x"
    after = _ITEM.match(text, end)
    if re.match(f"{_LETTER}|_", text[end : end + 1]) and not (after and _KIND.get(after.group().lower()) == "h"):
        return "x"
    if len(word) <= 2:
        return "N"
    return "Y" if len(word) == 4 and _EARLIEST.year <= int(word) < _LATEST.year else "x"


def _date_at(position: int, text: str, items: Sequence[re.Match[str]], kinds: str, is_day_first: bool) -> _Date | None:
    """Return the date that begins at an item, with the words before it; None if there is none."""
    for form, is_day, is_tight in _forms():
        match = form.match(kinds, position)
        if match is None:
            continue

        start, end = match.span("date")
        written = text[items[start].start() : items[end - 1].end()]
        parts = {name: items[match.start(name)].group() for name, kind in match.groupdict().items() if kind is not None}
        if is_tight and " " in written:
            continue

        days = _range(parts, is_day_first)
        if days is None and is_day and len(parts.get("last_year", "00")) == 2:
            return _Date(None, None, position, match.end(), written)
        if days is None:
            continue

        first = _first_days(parts, days)
        side = match["side"]
        if first is not None:
            days = min(first[0], days[0]), days[1]
            side = None
        elif any(name in parts for name in _OF_FIRST):  # it is no part of the date
            position, side = start, None
        return _Date(days, side, position, match.end(), written)

    return None


def _without(dates: Sequence[_Date], text: str, items: Sequence[re.Match[str]], kinds: str) -> str:
    """Return a text without its dates, and without the words between them; empty if no word is left."""
    texts = []
    end = 0
    last_end = None  # the item after the last date
    for date in dates:
        is_between = last_end is not None and set(kinds[last_end : date.start]) <= set("-ut/")
        texts.append("" if is_between else text[end : items[date.start].start()])
        end = items[date.end - 1].end()
        last_end = date.end

    words = " ".join(" ".join([*texts, text[end:]]).split()).strip(" ,;:-–—()[]")
    return words if any(character.isalnum() for character in words) else ""


@cache
def _table() -> dict[str, dict[str, Any]]:
    return json.loads((files("pecl.apps.search") / "months.json").read_text("utf-8"))


def _is_day_first(languages: Iterable[str]) -> bool:
    """Return whether 12/7/2019 is in July to a person: the first language decides that has months in the table."""
    return next((_table()[code]["is_day_first"] for code in languages if code in _table()), False)


@cache
def _months() -> dict[str, tuple[int, str]]:
    """Return the number and the kind of each month by its names and short forms as `_plain` writes them."""
    months: dict[str, tuple[int, str]] = {}
    for width, kind in (("short", "S"), ("names", "M")):
        for language in _table().values():
            for number, names in enumerate(language[width], 1):
                for name in map(_plain, names.split()):
                    months[name] = number, "A" if name in _ALSO_WORDS and kind == "S" else kind
    return months


def _plain(name: str) -> str:
    """Return a name in lower case without accents."""
    letters = unicodedata.normalize("NFKD", name.lower().replace("ı", "i"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def _first_days(
    parts: Mapping[str, str], last: tuple[datetime.date, datetime.date]
) -> tuple[datetime.date, datetime.date] | None:
    """Return the days of the first part of a range, which takes the missing month and year of the last; or None."""
    day = parts.get("first") or parts.get("first_day")
    month = parts.get("first_month") or parts.get("only_month") or parts.get("first_number")
    has_day = last[1] - last[0] == datetime.timedelta(days=1)
    if bool(day) != has_day or not (day or ("month" in parts and month)):
        return None

    year = last[0].year
    days = _days_of(year, _month(month) if month else last[0].month, int(day or 0))
    if days is not None and days[0] > last[0] and month:  # from December to January
        days = _days_of(year - 1, _month(month), int(day or 0))
    return days


def _opened(first: datetime.date, before: datetime.date, side: str | None) -> tuple[datetime.date, datetime.date]:
    """Return the days of a date with the side open that the word before it names; see `_KINDS`."""
    if side == "s":
        return first, _LATEST
    if side == "l":
        return before, _LATEST
    if side == "e":
        return _EARLIEST, first
    if side == "u":
        return _EARLIEST, before
    return first, before


def _range(parts: Mapping[str, str], is_day_first: bool) -> tuple[datetime.date, datetime.date] | None:
    """Return the first day of a date and the day after its last; None if there is no such day, as February 30."""
    last_year = parts.get("last_year")
    if last_year is not None and len(last_year) != 2:
        return None

    if "year" not in parts:  # 12.7.19: as `strptime` reads years of two digits
        year = int(last_year or 0) + (2000 if int(last_year or 0) < 69 else 1900)
    else:
        year = int(parts["year"])
        if last_year is not None:  # 2018/19
            last = year - year % 100 + int(last_year)
            return (datetime.date(year, 1, 1), datetime.date(last + 1, 1, 1)) if last > year else None

    if "one" in parts:
        return _days_of(year, *_month_and_day(int(parts["one"]), int(parts["two"]), parts["sign"], is_day_first))
    return _days_of(year, _month(parts["month"]) if "month" in parts else None, int(parts.get("day", 0)))


def _days_of(year: int, month: int | None, day: int) -> tuple[datetime.date, datetime.date] | None:
    """Return the first day of a day, a month (day 0) or a year (no month), and the day after its last; or None."""
    try:
        first = datetime.date(year, 1 if month is None else month, day or 1)
    except ValueError:
        return None
    if month is None:
        return first, datetime.date(year + 1, 1, 1)
    return first, first + datetime.timedelta(days=1) if day else _next_month(year, month)


def _month(text: str) -> int:
    """Return the month with a name or a number."""
    return _NUMBERS.get(text) or (int(text) if text.isdecimal() else _months()[_plain(text)][0])


def _month_and_day(first: int, second: int, sign: str, is_day_first: bool) -> tuple[int | None, int]:
    """Return month and day of 12/7/2019; no month if either may be the day. With dots the day is first everywhere."""
    if second > 12:
        return first, second
    if first > 12 or first == second or sign == "." or is_day_first:
        return second, first
    return None, 0


def _next_month(year: int, month: int) -> datetime.date:
    return datetime.date(year + month // 12, month % 12 + 1, 1)
