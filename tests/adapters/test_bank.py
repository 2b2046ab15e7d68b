"""The bank of many languages, and its files, on tiny towers."""

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from helpers.adapter_towers import TEXTS, states, tower_of
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from pecl.adapters.adapter import attach
from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.files import AdapterFile, load_adapter_file, save_adapter
from pecl.adapters.spec import parse_adapter
from pecl.adapters.training_pairs import TrainingPairs
from pecl.errors import ConfigError, DataError, WeightsError
from pecl.language.transliteration import shipped_transliteration

LANGUAGES = ("de", "cs", "fr")
MIXED = [LANGUAGES[i] for i in (0, 1, 2, 2, 1, 0, 0, 0, 1, 2, 0, 1)]


def bank_on(tower, spec="lora"):
    bank = AdapterBank(tower, spec)
    for language, state in zip(LANGUAGES, states(tower, spec), strict=True):
        bank.add(language, state)
    return bank


@pytest.fixture
def bank():
    return bank_on(tower_of("xlm-roberta", torch.float32))


def embeddings_of(bank):
    return {language: bank.encode_text(TEXTS, language) for language in LANGUAGES}


def single(tower, spec, state):
    """Embeddings of one adapter on a fresh copy of the tower."""
    tower = copy.deepcopy(tower)
    attach(tower, parse_adapter(spec)).load_slot_state(0, state)
    return tower.encode_text(TEXTS)


@pytest.mark.parametrize("spec", ["lora", "soft_prompt", "full", "head:rank=3"])
def test_mixed_batch_equals_each_language_alone(spec):
    tower = tower_of("bert", torch.float32)
    by_itself = [single(tower, spec, state) for state in states(tower, spec)]
    bank = bank_on(tower, spec)
    mixed = bank.encode_text(TEXTS, language=MIXED, batch_size=5)
    for i, language in enumerate(MIXED):
        torch.testing.assert_close(mixed[i], by_itself[LANGUAGES.index(language)][i], rtol=0, atol=1e-5)
    assert bank.encode_text([], language="de").shape == (0, 8)


def test_threads_get_the_embeddings_of_their_own_language(bank):
    expected = embeddings_of(bank)
    languages = [*LANGUAGES] * 30
    with ThreadPoolExecutor(6) as threads:
        embeddings = list(threads.map(lambda language: bank.encode_text(TEXTS, language), languages))
    for language, rows in zip(languages, embeddings, strict=True):
        torch.testing.assert_close(rows, expected[language], rtol=0, atol=1e-6)


def in_thread(monkeypatch, owner, method, act):
    """Let another thread `act` when `method` of `owner` is first called, before it begins; return the thread."""
    inner = getattr(owner, method)
    thread = threading.Thread(target=act, daemon=True)

    def method_after_act(*args, **options):
        if thread.ident is None:
            thread.start()
            thread.join(0.3)  # without a lock, `act` ends here
        return inner(*args, **options)

    monkeypatch.setattr(owner, method, method_after_act)
    return thread


def test_a_language_that_another_thread_removes_does_not_shift_the_adapters_of_a_pass(bank, monkeypatch):
    expected = bank.encode_text(TEXTS, "cs")
    thread = in_thread(monkeypatch, bank.single().tower, "encode_token_ids", lambda: bank.remove("de"))
    assert torch.equal(bank.encode_text(TEXTS, "cs"), expected)
    thread.join()
    assert bank.languages == ["cs", "fr"]
    with pytest.raises(ConfigError, match="expected one in the bank"):
        bank.encode_text(TEXTS, "de")


def test_an_adapter_that_another_thread_replaces_embeds_no_text_that_was_read_before(bank, monkeypatch):
    before, others = bank.encode_text(TEXTS, "de"), bank.encode_text(TEXTS, "cs")

    def replace():
        state = bank.single().adapter.slot_state(1)
        bank.remove("de")
        bank.add("de", state)

    thread = in_thread(monkeypatch, bank, "encode_token_ids", replace)
    assert torch.equal(bank.encode_text(TEXTS, "de"), before)
    thread.join()
    assert torch.equal(bank.encode_text(TEXTS, "de"), others)


def test_a_file_has_the_adapter_of_its_language_though_another_thread_removes_one(bank, monkeypatch, tmp_path):
    expected = bank.single().adapter.slot_state(1)
    thread = in_thread(monkeypatch, bank.single().adapter, "slot_state", lambda: bank.remove("de"))
    path = bank.save("cs", tmp_path / "cs.safetensors")
    thread.join()
    actual = load_adapter_file(path).state
    assert all(torch.equal(actual[name], tensor) for name, tensor in expected.items())


def test_two_threads_cannot_both_add_a_language(bank, monkeypatch):
    (state,) = states(bank.tower, "lora", 1)
    errors = []

    def add():
        try:
            bank.add("sw", state)
        except ConfigError as error:
            errors.append(str(error))

    thread = in_thread(monkeypatch, bank.single(), "add", add)
    bank.add("sw", state)
    thread.join()
    assert (bank.languages, bank.single().languages) == ([*LANGUAGES, "sw"], [*LANGUAGES, "sw"])
    assert errors == ["language 'sw' is in the bank already, as 'sw': remove it first"]


def test_a_tower_with_its_lock_is_copied_and_pickled(bank):
    tower = bank.tower
    for copied in (copy.deepcopy(tower), pickle.loads(pickle.dumps(tower))):
        assert copied.lock is not tower.lock
        assert torch.equal(copied.encode_text(TEXTS), tower.encode_text(TEXTS))


@pytest.mark.parametrize("removed", ["de", "cs"])
def test_the_others_keep_their_embeddings_when_a_language_is_removed_and_comes_again(removed, bank):
    before = embeddings_of(bank)
    assert len({tuple(embeddings.flatten().tolist()) for embeddings in before.values()}) == 3
    bank.remove(removed)
    left = [language for language in LANGUAGES if language != removed]
    assert bank.languages == left
    assert (len(bank), removed in bank) == (2, False)
    for language in left:
        assert torch.equal(bank.encode_text(TEXTS, language), before[language])
    bank.add(removed, states(tower_of("xlm-roberta", torch.float32))[LANGUAGES.index(removed)])
    assert torch.equal(bank.encode_text(TEXTS, removed), before[removed])


def test_cut_texts_are_counted_in_the_letters_that_the_tower_reads():
    tower, text = tower_of("bert", torch.float32), " ".join(["بنجر"] * 9)
    tower.transliterates, tower.max_length = True, 30
    bank, read = AdapterBank(tower, plain=["bjn_arab"]), shipped_transliteration("bjn_arab")(text)
    token_ids = bank.tokenize([text], [None], ["bjn_arab"])
    assert bank.whole_lengths([text], token_ids, [None], ["bjn_arab"]) == {0: (len(read) + 2, 30)}


@pytest.mark.parametrize("spec", ["lora+head", "prefix", "full", "word_embeddings:rank=3"])
def test_a_tower_stays_plain_whatever_banks_are_made_of_it(spec):
    tower = tower_of("bert", torch.float32)
    plain = tower.encode_text(TEXTS)
    banks = []
    for seed, state in enumerate(states(tower, spec)[:2]):
        banks.append(AdapterBank(tower, spec))
        banks[seed].add("cs", state)
        assert tower.adapter is None
        assert torch.equal(tower.encode_text(TEXTS), plain)
    first, second = (bank.encode_text(TEXTS, "cs") for bank in banks)
    assert not torch.allclose(first, second, atol=1e-4)
    banks[0].close()
    assert torch.equal(tower.encode_text(TEXTS), plain)
    assert torch.equal(banks[1].encode_text(TEXTS, "cs"), second)


def test_a_bank_shares_the_memory_of_its_towers_weights():
    tower = tower_of("xlm-roberta", torch.float32)
    bank = bank_on(tower, "lora+head")
    frozen = {tensor.data_ptr() for tensor in [*tower.parameters(), *tower.buffers()]}
    spec = bank.single()
    own = {parameter.data_ptr() for parameter in spec.adapter.parameters()}
    assert {tensor.data_ptr() for tensor in [*spec.tower.parameters(), *spec.tower.buffers()]} == frozen | own
    assert frozen.isdisjoint(own)


@pytest.mark.parametrize("name", ["jp", " JPN_jpan "])
def test_a_language_has_all_its_names(name, bank, tmp_path):
    bank.remove("fr")
    bank.add("jp", bank.single().adapter.slot_state(1))
    expected = bank.encode_text(TEXTS, "jp")
    assert name in bank
    assert bank.slot(name) == (bank.single(), 2)
    assert torch.equal(bank.encode_text(TEXTS, name), expected)
    assert torch.equal(bank.encode_text(TEXTS, [name] * len(TEXTS)), expected)
    assert AdapterBank.from_files(bank.tower, bank.save(name, tmp_path / "jp.safetensors")).languages == ["jp"]
    with pytest.raises(ConfigError, match="is in the bank already"):
        bank.load(tmp_path / "jp.safetensors", name)
    bank.remove(name)
    assert bank.languages == ["de", "cs"]


def test_save_and_load_are_bit_identical(bank, tmp_path):
    paths = [bank.save(language, tmp_path / f"{language}.safetensors") for language in LANGUAGES]
    expected = embeddings_of(bank)
    again = AdapterBank.from_files(tower_of("xlm-roberta", torch.float32), paths)
    assert again.languages == list(LANGUAGES)
    for language in LANGUAGES:
        assert torch.equal(again.encode_text(TEXTS, language), expected[language])
    assert again.load(paths[0], "de-at") == "de-at"
    assert [again.find(name) for name in ("cs-CZ", "de_AT")] == ["cs", "de-at"]
    again.add("nl", paths[1])
    assert torch.equal(again.encode_text(TEXTS, "de-at"), expected["de"])
    assert torch.equal(again.encode_text(TEXTS, "nl"), expected["cs"])


def test_an_adapter_under_a_name_of_its_own_is_saved_in_the_language_that_its_texts_are_read_in(bank, tmp_path):
    czech = bank.save("cs", tmp_path / "cs.safetensors")
    assert bank.load(czech, "grandmother") == "grandmother"
    again = load_adapter_file(bank.save("grandmother", tmp_path / "again.safetensors"))
    assert again.language == bank.merge("grandmother").language == "cs"
    bank.remove("cs")
    bank.add("cs", again)
    assert torch.equal(bank.encode_text(TEXTS, "cs"), bank.encode_text(TEXTS, "grandmother"))


def test_a_saved_adapter_still_states_the_pairs_that_trained_it(bank, tmp_path):
    pairs = TrainingPairs(("captions.csv, 2 shots, split seed 42",), 2, frozenset({"ab" * 6, "cd" * 6}))
    state = bank.slot("cs")[0].adapter.slot_state(1)
    path = save_adapter(tmp_path / "nl.safetensors", state, parse_adapter("lora"), "nl", bank.tower, pairs)
    bank.load(path)
    assert load_adapter_file(bank.save("nl", tmp_path / "copy.safetensors")).training_pairs == pairs
    assert load_adapter_file(bank.save("cs", tmp_path / "cs.safetensors")).training_pairs is None


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda bank: bank.encode_text(TEXTS, "des"), "expected one in the bank \\(de, cs, fr\\), got 'des'; did"),
        (lambda bank: bank.encode_text(TEXTS, ["de"]), "1 languages for 12 texts"),
        (lambda bank: bank.encode_text(TEXTS[:2], [{}, {"de": 0.5, "cs": 0.5}]), "or shares of at least one"),
        (lambda bank: bank.add("de", {}), "'de' is in the bank already"),
        (lambda bank: AdapterBank(bank.single().tower), "has an adapter already"),
        (lambda bank: AdapterBank.from_files(bank.tower, []), "at least one adapter file"),
        (lambda bank: AdapterBank(bank.tower).add("it", {}), "expected a file, or parameters and a bank"),
    ],
)
def test_what_the_bank_refuses(bank, act, message):
    with pytest.raises((ConfigError, DataError), match=message):
        act(bank)
    assert bank.languages == list(LANGUAGES)


def test_a_file_of_another_tower_is_refused_and_one_of_another_spec_is_not(bank, tmp_path):
    def written(name, tower, spec, named=bank.tower):
        return save_adapter(tmp_path / name, states(tower, spec)[0], parse_adapter(spec), "ko", named)

    other = tower_of("bert", torch.float32)
    with pytest.raises(WeightsError, match=r"trained on another text tower: on tiny-bert .* not on tiny-xlm-roberta"):
        bank.load(written("a.safetensors", other, "lora", other))
    assert bank.languages == list(LANGUAGES)
    bank.load(written("b.safetensors", tower_of("xlm-roberta", torch.float32), "lora:r=2"))
    with pytest.raises(ConfigError, match="expected one spec, got lora: de, cs, fr; lora:r=2: ko"):
        bank.single()


def test_several_specs_the_plain_tower_and_mixtures_are_embedded_in_one_call():
    tower = tower_of("bert", torch.float32)
    own = {"de": "lora", "cs": "soft_prompt", "fr": "bitfit"}
    bank = AdapterBank(tower, plain=["en"])
    alone = {"English": tower.encode_text(TEXTS)}
    for language, spec in own.items():
        state = states(tower, spec)[0]
        bank.add(language, AdapterFile(Path("."), language, parse_adapter(spec), state, tower.name, tower.fingerprint))
        alone[language] = single(tower, spec, state)
    languages = (["de", "English", "cs", "fr"] * 3)[: len(TEXTS)]
    for row, text in enumerate(bank.encode_text(TEXTS, languages)):
        torch.testing.assert_close(text, alone[languages[row]][row], rtol=0, atol=1e-5)
    shares = {"cs": 0.6, "de": 0.3, None: 0.1}
    expected = F.normalize(0.6 * alone["cs"] + 0.3 * alone["de"] + 0.1 * alone["English"], dim=1)
    found = bank.encode_text(TEXTS, [shares, *["de"] * (len(TEXTS) - 1)])
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(found[1:], alone["de"][1:], rtol=0, atol=1e-5)
    torch.testing.assert_close(bank.encode_text(TEXTS, shares), expected, rtol=0, atol=1e-5)
    with pytest.raises(ConfigError, match=r"expected one in the bank .*de, cs, fr, en.*, got 'it'"):
        bank.encode_text(TEXTS, "it")


@pytest.fixture
def saved(tmp_path):
    tower = tower_of("bert", torch.float32)
    configs = parse_adapter("lora+head")
    return tower, save_adapter(tmp_path / "de.safetensors", states(tower, "lora+head")[0], configs, "de", tower)


def rewrite(path, **changes):
    with safe_open(path, "pt") as file:
        metadata = file.metadata() | {"sha256": None} | changes  # the checksum would tell first
    kept = {name: value for name, value in metadata.items() if value is not None}
    save_file(load_file(path), path, metadata=kept)


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_plain_weight_mixes_directions_and_leaves_texts_without_an_adapter(weight, bank):
    plain = bank.encode_text(TEXTS)
    own = bank.encode_text(TEXTS, "de")
    assert (own - plain).abs().max() > 1e-3
    expected = F.normalize((1 - weight) * own + weight * plain, dim=1)
    torch.testing.assert_close(bank.encode_text(TEXTS, "de", plain_weight=weight), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(bank.encode_text(TEXTS, plain_weight=weight), plain, rtol=0, atol=1e-6)
    beside = bank.encode_text(TEXTS[:2], ["de", None], plain_weight=weight, normalize=False)
    torch.testing.assert_close(beside[1:], bank.tower.encode_text(TEXTS[1], normalize=False), rtol=0, atol=1e-5)
    with pytest.raises(ConfigError, match=r"plain_weight: expected a number from 0 to 1, got 1\.5"):
        bank.encode_text(TEXTS, "de", plain_weight=1.5)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "damaged or no safetensors file"),
        (lambda path: rewrite(path, sha256="0" * 64), "damaged or .* match its checksum.*; copy it again"),
        (lambda path: rewrite(path, format=None), "expected an adapter file of pecl, got another safetensors file"),
        (lambda path: rewrite(path, format_version="2"), "has format 2, this version of pecl reads up to 1: upgrade"),
        (lambda path: rewrite(path, format_version="x"), "damaged header"),
        (lambda path: rewrite(path, configs='[{"kind": "lorra"}]'), "is of the kind 'lorra', which is not known here"),
    ],
)
def test_damaged_files_are_refused_in_one_sentence(saved, damage, message):
    tower, path = saved
    damage(path)
    with pytest.raises(WeightsError, match=message) as error:
        load_adapter_file(path, tower)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_marks_and_capitals_that_a_text_lacks_are_restored_unless_a_bank_is_made_without():
    """A typed text has the token ids of the written one; English and a text of no language stay as they are."""
    tower = tower_of("xlm-roberta", torch.float32)
    typed = ["con cho chay tren bai bien", "ein hund am strand", "naive cafe", "con cho"]
    written = ["con chó chạy trên bãi biển", "ein Hund am Strand", "naive cafe", "con cho"]
    languages = ["vi", "de", "en", None]

    bank = AdapterBank(tower, plain=None)
    assert torch.equal(bank.encode_text(typed, languages), tower.encode_text(written))
    assert torch.equal(bank.encode_text(typed, languages, exactly=True), tower.encode_text(typed))
    assert [reading.read_as for reading in bank.read(typed, languages)] == [(written[0],), (written[1],), (), ()]

    as_typed = AdapterBank(tower, plain=None, restore=False)
    assert torch.equal(as_typed.encode_text(typed, languages), tower.encode_text(typed))
    assert torch.equal(as_typed.encode_text(typed, languages, exactly=False), tower.encode_text(written))
