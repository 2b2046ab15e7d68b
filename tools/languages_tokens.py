"""Count the tokens of XTD200's captions in the mini tower: `python tools/languages_tokens.py`.

It writes `results/language_tokens.json`: per language the pieces of a caption, and the share of
pieces that the tokenizer does not know. `languages_page.py` reads it.
"""

from __future__ import annotations

from marked import ROOT

from pecl.data.registry import load_dataset
from pecl.encoders.towers import load_text_encoder
from pecl.files import write_json
from pecl.language.languages import flores_languages

TOKENS = ROOT / "results" / "language_tokens.json"


def count(texts: tuple[str, ...], tokenizer: object) -> dict[str, float]:
    """Return the mean number of pieces of N texts, and the share of unknown ones."""
    rows = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    pieces = sum(map(len, rows))
    unknown = sum(row.count(tokenizer.unk_token_id) for row in rows)
    return {"tokens": round(pieces / len(rows), 2), "unknown": round(unknown / pieces, 4)}


def main() -> None:
    """Write the counts of all languages."""
    tokenizer = load_text_encoder("mini").tokenizer
    counts = {code: count(load_dataset("xtd200", code).target, tokenizer) for code in flores_languages()}
    TOKENS.parent.mkdir(parents=True, exist_ok=True)
    write_json(TOKENS, counts)


if __name__ == "__main__":
    main()
