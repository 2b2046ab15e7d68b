"""Write the names of months that dates in queries may have: `python tools/make_months.py`.

Names are those of Unicode's CLDR, in every country of each language, as the package babel has them.
CLDR has no locative ("v červenci", in July), so the names in this case are below. Vietnamese,
Chinese, Japanese and Korean write months as numbers, so that only the order of 12/7/2019 is theirs.
"""

import argparse
from pathlib import Path

from babel import Locale, localedata

from pecl.files import write_json

OUT = Path(__file__).parents[1] / "pecl" / "apps" / "search" / "months.json"
LANGUAGES = ("en", "de", "fr", "cs", "sk", "es", "it", "pl", "tr", "ru", "sw", "vi", "ar", "he", "el", "hu", "pt", "nl")
LOCATIVE = {
    "cs": "lednu únoru březnu dubnu květnu červnu červenci srpnu září říjnu listopadu prosinci",
    "sk": "januári februári marci apríli máji júni júli auguste septembri októbri novembri decembri",
    "pl": "styczniu lutym marcu kwietniu maju czerwcu lipcu sierpniu wrześniu październiku listopadzie grudniu",
    "ru": "январе феврале марте апреле мае июне июле августе сентябре октябре ноябре декабре",
    "tr": "ocakta şubatta martta nisanda mayısta haziranda temmuzda ağustosta eylülde ekimde kasımda aralıkta",
    "he": "בינואר בפברואר במרץ באפריל במאי ביוני ביולי באוגוסט בספטמבר באוקטובר בנובמבר בדצמבר",
    "hu": "januárban februárban márciusban áprilisban májusban júniusban júliusban augusztusban szeptemberben "
    "októberben novemberben decemberben",
}


def names(code: str, width: str) -> list[list[str]]:
    """Return the names of the twelve months of a language in a width of CLDR, `wide` or `abbreviated`."""
    known = [set[str]() for _ in range(12)]
    for identifier in localedata.locale_identifiers():
        locale = Locale.parse(identifier)
        if locale.language != code or locale.script is not None:
            continue
        for context in ("format", "stand-alone"):
            for month, name in locale.months[context][width].items():
                if name.rstrip(".").isalpha():
                    known[month - 1].add(name.rstrip(".").lower())

    return [sorted(month) for month in known]


def months(code: str) -> dict[str, object]:
    """Return the names of a language's months, their short forms, and whether the day comes first in 12/7/2019."""
    full = names(code, "wide")
    for month, name in zip(full, LOCATIVE.get(code, "").split(), strict=False):
        month.append(name)

    short = [
        sorted(set(abbreviated) - set(month))
        for abbreviated, month in zip(names(code, "abbreviated"), full, strict=True)
    ]
    pattern = Locale.parse(code).date_formats["short"].pattern
    is_day_first = pattern.index("d") < pattern.index("M")
    return {
        "is_day_first": is_day_first,
        "names": [" ".join(sorted(set(month))) for month in full],
        "short": [" ".join(month) for month in short],
    }


def main() -> None:
    """Write the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    write_json(OUT, {code: months(code) for code in LANGUAGES}, indent=1)


if __name__ == "__main__":
    main()
