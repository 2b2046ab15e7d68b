"""An exported tokenizer reads odd texts as the tower does, and the card names the texts that it cannot read so."""

import random
import re
from functools import cache

import numpy as np
import pytest
import torch
from helpers.contract import EXPORTS, FAMILIES, Case, source
from helpers.exporting import text_tower, write_adapters
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers

from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.files import merge_adapter
from pecl.apps.export.contract import IN_CAPITALS, portable_tokenizer, quiet
from pecl.apps.export.folders import save_text_encoder
from pecl.apps.export.immich import _opened, export_immich
from pecl.encoders.cleaning import normal_letters
from pecl.encoders.towers import load_text_encoder
from pecl.language.normalization import normalize_letters

# Without letters that ftfy could take for a wrong encoding, which only the cleaning itself repairs
WORDS = ["dog", "b", "e", "\u0301", "ß", "ｶ", "ﾞ", "Ａ", "ｚ", "م", "犬", "🐕", "1", "!", "<", "<table>", "ς", "Ab"]
SPACES = [*" \t\n\x00\x1f\x85\xa0\u2003\u2028\u3000\u200b\u200c\u200d\u200e\xad\ufeff", "  ", "\r\n", "\n\n"]
odd_texts = st.lists(st.sampled_from(WORDS + SPACES), max_size=9).map("".join)


@cache
def normalizer(prefix=""):
    return normalizers.Sequence(normal_letters(prefix))


@given(st.text(max_size=12) | odd_texts)
def test_the_steps_of_a_normalizer_are_those_of_the_normal_form(text):
    assert normalizer().normalize_str(text) == normalize_letters(text)


def test_the_steps_treat_every_letter_as_the_normal_form():
    letters = [chr(i) for i in range(0x20000) if not 0xD800 <= i < 0xE000]
    for i in range(0, len(letters), 512):
        text = "a".join(letters[i : i + 512])
        assert normalizer().normalize_str(text) == normalize_letters(text)


@pytest.mark.parametrize(("text", "read"), [("query: ", "query: "), ("query:  a ", "query: a"), (" ", ""), ("a ", "a")])
def test_a_prefix_keeps_its_space(text, read):
    assert normalizer("query: ").normalize_str(text) == read


@pytest.mark.parametrize("has_prefix", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_exported_tokenizer_gives_the_towers_tokens_of_odd_texts(family, has_prefix, tmp_path):
    tower = Case(family, "none", tmp_path).tower
    language = "cs" if family == "nllb" else None
    tokenizer = portable_tokenizer(tower, language, with_prefix=has_prefix)
    plain = getattr(tower.tokenizer, "in_transformers", tower.tokenizer)
    special = [plain.eos_token or plain.sep_token, plain.pad_token]
    draw = random.Random(1)
    for _ in range(300):
        text = "".join(draw.choices(WORDS + SPACES + special, k=draw.randrange(1, 9)))
        if has_prefix and tower.text_prefix and (not text.strip() or text.strip().startswith(tuple(special))):
            continue
        given_text = text if has_prefix else tower.text_prefix + text
        row = tokenizer(given_text, truncation=True, max_length=tower.max_length)["input_ids"]
        with quiet():
            assert [tower._shaped(row)] == tower.tokenize([text], language), ascii(text)


def immich(case):
    folder = export_immich(case.merged, None, case.folder / "out")
    _, cleaned, embed = _opened(folder)
    return (
        lambda texts: torch.tensor(np.stack([embed(text) for text in texts])),
        lambda texts: case.expected([cleaned(text) for text in texts]),
    )


@pytest.mark.parametrize("export", ["sentence-transformers", "open_clip", "ONNX", "immich"])
def test_siglip_embeds_odd_spaces_as_the_tower(export, tmp_path):
    """The texts of which the export and the tower had a cosine of .7."""
    case = Case("siglip", "LoRA", tmp_path)
    found, expected = (EXPORTS | {"immich": immich})[export](case)
    texts = ["a\tdog", "a  dog", "a dog ", " a dog", "a\n\ndog", "a\u3000dog", "do\xadg", "\ufeffdog", "e\u0301", "ｶﾞ"]
    actual = torch.as_tensor(found(texts))
    torch.testing.assert_close(actual, expected(texts), rtol=0, atol=1e-5)
    torch.testing.assert_close(actual[:3], actual[2:3].expand(3, -1), rtol=0, atol=1e-5)


def test_the_card_has_the_cosines_of_texts_in_capitals(tmp_path):
    from sentence_transformers import SentenceTransformer

    tower = text_tower()
    folder = save_text_encoder(tower, tmp_path / "out")
    embed = SentenceTransformer(str(folder), device="cpu").encode
    card = (folder / "README.md").read_text(encoding="utf-8")
    for text in IN_CAPITALS:
        cosine = float(np.dot(embed(text), tower.encode_text(text)[0].numpy()))
        (stated,) = re.findall(rf"`{text}`: (-?\d\.\d{{3}})", card)
        assert float(stated) == pytest.approx(cosine, abs=6e-4)
        assert cosine < 0.999  # the tower reads them in lower case


def test_siglip_itself_reads_capitals_in_lower_case(tmp_path):
    folder = save_text_encoder(load_text_encoder(source("siglip")), tmp_path / "out")
    assert "`A DOG ON THE BEACH`: 1.000" in (folder / "README.md").read_text(encoding="utf-8")


def test_a_bank_embeds_as_an_export_only_without_restoring(tmp_path):
    from sentence_transformers import SentenceTransformer

    tower = text_tower()
    file = write_adapters(tmp_path)["de"]
    folder = save_text_encoder(merge_adapter(file, tower), tmp_path / "out")
    exported = SentenceTransformer(str(folder), device="cpu").encode(["ein hund am strand"], convert_to_tensor=True)
    plain, restoring = (
        AdapterBank.from_files(tower, [file.path], restore=restore).encode_text("ein hund am strand", "de")
        for restore in (False, True)
    )
    torch.testing.assert_close(plain, exported, rtol=0, atol=1e-5)
    assert not torch.allclose(restoring, exported, atol=1e-3)
