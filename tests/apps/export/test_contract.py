"""The promise of all exports: a package that opens a folder embeds hard texts as the tower does, or nothing is written.

The fast cells meet each family and each export.
"""

import random
import sys

import pytest
import torch
from helpers.contract import EXPORTS, FAMILIES, KINDS, NEEDS_ADAPTER, Case, measure, source
from helpers.exporting import image_tower, text_tower
from tokenizers import normalizers
from transformers import AutoTokenizer, GemmaTokenizer, NllbTokenizer

from pecl.apps.export.contract import TEXTS, TOLERANCE, check_equal, portable_tokenizer, texts_for, warn_if_far
from pecl.apps.export.folders import save_text_encoder
from pecl.apps.export.immich import export_immich
from pecl.apps.export.onnx import export_onnx
from pecl.apps.export.open_clip import export_open_clip
from pecl.apps.export.peft import export_peft
from pecl.apps.export.sentence_transformers import export_adapter, export_towers
from pecl.cli import main
from pecl.encoders.cleaning import CLEANINGS, cleaning, normalizer_of
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import Towers, load_text_encoder
from pecl.errors import RunError

FAST = [
    *((family, "sentence-transformers", kind) for family, kind in zip(FAMILIES, 3 * list(KINDS), strict=False)),
    ("nllb", "both towers", "LoRA"),
    ("nllb", "adapter only", "words"),
    ("prefix", "adapter only", "head"),
    ("open-clip-siglip", "pecl", "LoRA"),
    ("open-clip-siglip", "open_clip", "words"),
    ("siglip", "open_clip", "LoRA"),
    ("open-clip-metaclip", "pecl, open_clip's form", "head"),
    ("nllb", "open_clip", "LoRA"),
    ("prefix", "open_clip", "head"),
    ("metaclip-mt5", "ONNX", "words"),
    ("nllb", "ONNX, slots", "head"),
    ("mclip", "PEFT", "words"),
    ("nllb", "PEFT", "LoRA"),
    ("siglip", "adapter only", "LoRA"),
]
REFUSED = {
    *(("open-clip-xlm-r", one) for one in ("open_clip", "pecl, open_clip's form")),  # a head of two layers
    *(("distilbert", one) for one in ("open_clip", "pecl, open_clip's form")),  # open_clip's own limit
    *((family, "adapter only") for family in FAMILIES if "siglip" in family or "metaclip" in family),
}
CELLS = [
    pytest.param(family, export, kind, marks=() if (family, export, kind) in FAST else pytest.mark.slow)
    for family in FAMILIES
    for export in EXPORTS
    for kind in KINDS
    if kind != "none" or export not in NEEDS_ADAPTER
]


@pytest.mark.parametrize(("family", "export", "kind"), CELLS)
def test_an_export_embeds_hard_texts_as_its_tower(family, export, kind, tmp_path):
    found = measure(family, export, kind, tmp_path)
    if (family, export) in REFUSED or (export == "PEFT" and kind == "head"):
        assert isinstance(found, str), found
        assert not (tmp_path / "out").exists()
    else:
        assert not isinstance(found, str), found
        assert max(found.values()) <= TOLERANCE, found


WRITERS = {
    "sentence-transformers": lambda case, out: save_text_encoder(case.merged, out),
    "both towers": lambda case, out: export_towers(case.merged, image_tower(), out),
    "adapter only": lambda case, out: export_adapter(case.file, case.tower, out, case.folder / "plain"),
    "open_clip": lambda case, out: export_open_clip(case.merged, image_tower(), out),
    "ONNX": lambda case, out: export_onnx(case.merged, None, out),
    "immich": lambda case, out: export_immich(case.merged, None, out, language="cs", is_mclip=True),
    "PEFT": lambda case, out: export_peft(case.file, case.tower, out, str(case.folder / "plain")),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_written_tokenizer_gives_the_towers_tokens(family, tmp_path):
    tower = Case(family, "none", tmp_path).tower
    own_class = {"nllb": NllbTokenizer, "siglip": GemmaTokenizer, "open-clip-siglip": GemmaTokenizer}
    assert isinstance(tower.tokenizer, own_class.get(family, object))
    language = "cs" if family == "nllb" else None
    for has_prefix in (True, False):
        folder, texts = tmp_path / str(has_prefix), list(texts_for(tower, has_prefix=has_prefix).values())
        portable_tokenizer(tower, language, with_prefix=has_prefix).save_pretrained(folder)
        tower.backbone.config.save_pretrained(folder)
        given = texts if has_prefix else [tower.text_prefix + text for text in texts]
        rows = AutoTokenizer.from_pretrained(folder)(given, truncation=True, max_length=tower.max_length)["input_ids"]
        assert [tower._shaped(row) for row in rows] == tower.tokenize(texts, language)


@pytest.mark.parametrize("name", CLEANINGS)
def test_a_normalizer_cleans_as_the_cleaning(name):
    """Letters that neither look like a wrong encoding nor make an entity."""
    letters = [*map(chr, range(1, 0x7F)), *map(chr, range(0xFF00, 0xFFF0))]
    letters += list("ΣΣΣς\u0345\u0301 \u2028\u3000“”‘’ﬁ\u200b\u200d\ufeff_中ა\u00ad🐕")
    letters.remove("&")
    draw, normalize, clean = random.Random(1), normalizers.Sequence(normalizer_of(name)).normalize_str, cleaning(name)
    for _ in range(3000):
        text = "".join(draw.choices(letters, k=draw.randrange(12)))
        assert normalize(text) == clean(text), ascii(text)


def test_an_export_that_differs_is_refused_by_its_text_and_leaves_nothing(tmp_path, monkeypatch):
    """A tokenizer that is written without the cleaning, or without the prefix."""
    monkeypatch.setattr("pecl.apps.export.contract.portable_tokenizer", lambda tower, **_: tower.tokenizer)
    sentence = r"would embed the text '.+' \(.+\) differently from the tower, by .*nothing was written"
    with pytest.raises(RunError, match=f"sentence-transformers {sentence}"):
        save_text_encoder(load_text_encoder(source("siglip")), tmp_path / "out")
    with pytest.raises(RunError, match=f"open_clip {sentence}"):
        export_open_clip(text_tower(), image_tower(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("export", EXPORTS)
def test_a_language_that_is_transliterated_goes_into_no_export(export, tmp_path, monkeypatch):
    monkeypatch.setattr(
        MultilingualTextEncoder, "transliteration", lambda _, language: str if language == "cs" else None
    )
    found = measure("prefix", export, "words", tmp_path)
    assert "reads Czech (cs) in the letters of another script, which no other package does" in found
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [2e-5, float("nan")])
def test_one_number_of_one_text_decides(value):
    ours = torch.zeros(len(TEXTS), 3)
    theirs = ours.clone()
    theirs[list(TEXTS).index("Thai"), 1] = value
    with pytest.raises(RunError, match=r"x would embed the text 'สุนัขบนชายหาด' \(Thai\) differently from the tower"):
        check_equal("x", lambda _: theirs, lambda _: ours, TEXTS)
    check_equal("x", lambda _: ours + 9e-6, lambda _: ours, TEXTS)


@pytest.mark.parametrize(("cosine", "is_far"), [(0.95, False), (0.85, True), (float("nan"), True)])
def test_the_text_that_is_farthest_is_said(cosine, is_far, caplog):
    expected = torch.tensor([[1.0, 0.0]]).repeat(len(TEXTS), 1)
    actual = expected.clone()
    actual[list(TEXTS).index("Thai")] = torch.tensor([cosine, (1 - cosine**2) ** 0.5])
    warn_if_far("x", lambda _: actual, lambda _: expected, TEXTS)
    assert ("x embeds the text 'สุนัขบนชายหาด' (Thai) with a cosine of" in caplog.text) == is_far


def test_a_missing_package_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setattr("pecl.apps.commands.export.load_towers", lambda *_: Towers(text_tower, image_tower))
    assert main(["export", "sentence-transformers", str(tmp_path / "x"), "--text-only"]) == 0
    assert "sentence-transformers is not installed: its embeddings were not compared" in caplog.text


def test_pecl_keeps_the_cleaning_the_transliteration_and_the_fingerprint(tmp_path):
    tower = load_text_encoder(source("open-clip-siglip"))
    tower.transliterates = True  # the fingerprint does not have it
    folder = save_text_encoder(tower, tmp_path / "out")
    found = load_text_encoder(folder)
    assert (found.clean, found.transliterates, found.fingerprint) == ("canonicalize", True, tower.fingerprint)
    text = ["dogs &amp; cats"]  # an entity, which only the cleaning itself undoes
    torch.testing.assert_close(found.encode_text(text), tower.encode_text(text))
