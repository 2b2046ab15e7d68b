"""Names and keywords of emoji and other pictographs in 111 languages, by people: the annotations of Unicode CLDR.

Layout (`cldr-json/cldr-annotations-full/annotations` of unicode-org/cldr-json as `emoji`): `<locale>/annotations.json`.

Captions that were translated for training are few and hold few words. These annotations hold hundreds of others, for
animals, food, tools, sports and people at work. They are text to train on, next to captions.
"""

from pathlib import Path

from pecl.data.captions import ParallelCaptions
from pecl.data.lines import readable
from pecl.data.reading import OWNERS_CODES, published_set
from pecl.data.request import DataRequest
from pecl.errors import DataError, one_line
from pecl.files import parse_json, read_regular

_FIRST = "\u2600"  # below it: punctuation, arrows and mathematics


def read_emoji(request: DataRequest) -> ParallelCaptions:
    """Read names and keywords in one language and in English, in the order of the English file.

    A pictograph gives up to two pairs: its names, and its keywords joined by commas. What is missing in a language, or
    is the same as in English, is left out. Arabic dialects have those of Standard Arabic.
    """
    if request.need:
        raise DataError(f"emoji has no machine translations ({request.need[0]}): it is text to train on, as in --text")
    folder = request.root / "emoji"
    files = {
        name: folder / OWNERS_CODES["emoji"][code] / "annotations.json"
        for name, code in (("english", "en"), ("target", request.language))
    }
    english, target = map(_annotations, files.values())
    both = [
        (texts[kind], target[one][kind])
        for one, texts in english.items()
        for kind in texts
        if kind in target.get(one, {}) and (target[one][kind] != texts[kind] or request.language == "en")
    ]
    if not both:
        raise DataError(f"{files['target']} has no annotation that differs from the English one")
    texts, translations = zip(*both, strict=True)
    about = {"translator": "people: contributors to Unicode CLDR", "images": "none: names and keywords alone"}
    return published_set(request, {"english": texts, "target": translations}, files, about)


def _annotations(path: Path) -> dict[str, dict[str, str]]:
    """Return name (`tts`) and keywords (`default`) of each pictograph in a file, those that it has."""
    with readable(path, "file of annotations"):
        content = read_regular(path)
    try:
        annotations = parse_json(content)["annotations"]["annotations"]
        return {
            one: {kind: ", ".join(row[kind]) for kind in ("tts", "default") if row.get(kind)}
            for one, row in annotations.items()
            if one >= _FIRST
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: expected CLDR's annotations, lists of texts per character ({one_line(error)})"
        ) from error
