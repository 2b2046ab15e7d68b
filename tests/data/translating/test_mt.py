"""Machine translation models, a tiny random one of each family: codes, batches, settings, and what cannot be loaded."""

import contextlib

import pytest
import torch
from helpers.translation_models import FAMILIES, SENTENCES, config, make_marian
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES as M2M100
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES as NLLB

from pecl.data.translating.mt import Translator, _fixed_revision, language_settings
from pecl.errors import ConfigError, WeightsError
from pecl.language.languages import LANGUAGES

pytestmark = pytest.mark.usefixtures("one_thread")

# Codes as the makers of the models document them, for English to Japanese: what each family must be told.
DOCUMENTED_CODES = {"marian": (None, None), "m2m100": ("__en__", "__ja__"), "nllb": ("eng_Latn", "jpn_Jpan")}


def token_id(tokenizer, code):
    return tokenizer.get_lang_id(code.strip("_")) if code.startswith("__") else tokenizer.convert_tokens_to_ids(code)


@pytest.mark.parametrize("family", FAMILIES)
def test_translations_are_those_of_generate_with_the_documented_codes(family, translation_models, translators):
    tokenizer = AutoTokenizer.from_pretrained(translation_models[family])
    model = AutoModelForSeq2SeqLM.from_pretrained(translation_models[family])
    source, target = DOCUMENTED_CODES[family]
    translations = []
    for text in SENTENCES:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids = [*([token_id(tokenizer, source)] if source else []), *ids, tokenizer.eos_token_id]
        forced = {"forced_bos_token_id": token_id(tokenizer, target)} if target else {}
        output = model.generate(torch.tensor([ids]), num_beams=2, max_new_tokens=12, do_sample=False, **forced)[0]
        if target:
            assert output[1] == token_id(tokenizer, target)
            output = output[2:]
        translations.append(" ".join(tokenizer.decode(output, skip_special_tokens=True).split()))
    assert len(set(translations)) > 3  # the model looks at its input
    assert translators[family].translate(SENTENCES) == translations  # in one batch
    assert translators[family].translate(SENTENCES[:1]) == translations[:1]


def test_an_opus_model_of_many_languages_is_told_which(tmp_path):
    model = make_marian(tmp_path / "many", codes=(">>kor<<", ">>jpn<<", ">>cmn_Hans<<"))
    for code, ours in ((">>kor<<", "ko"), (">>jpn<<", "jp"), (">>cmn_Hans<<", "zh")):
        translator = Translator(config(model, target=ours))
        first = translator._tokenizer(translator._languages.prefix + "a dog")["input_ids"][0]
        assert first == translator._tokenizer.convert_tokens_to_ids(code)
        assert "<<" not in translator.translate(["a dog"])[0]
    with pytest.raises(ConfigError, match=r"does not translate German \(deu_Latn, deu, de\)"):
        Translator(config(model, target="de"))


@pytest.mark.parametrize("stated", [("eng", "jpn"), ("en", "mul")])
def test_the_direction_that_an_opus_model_states_is_checked(tmp_path, stated):
    model = make_marian(tmp_path / "model", source_lang=stated[0], target_lang=stated[1])
    Translator(config(model))
    for source, target in (("jp", "en"), ("en", "ko")):
        if stated[1] == "mul" and source == "en":
            continue  # a group of languages may hold Korean
        with pytest.raises(ConfigError, match="language is"):
            Translator(config(model, source, target))


def no_weights(folder):
    make_marian(folder)
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize("make", [no_weights, lambda folder: folder.mkdir()])
def test_a_folder_without_a_translation_model_is_named(tmp_path, make):
    make(tmp_path / "model")
    with pytest.raises(WeightsError, match=r"cannot load the translation model '.*model'"):
        Translator(config(tmp_path / "model"))


def test_missing_weights_are_named_not_drawn_at_random(tmp_path):
    from safetensors.torch import load_file, save_file

    path = make_marian(tmp_path / "model") / "model.safetensors"
    weights = load_file(path)
    save_file({name: w for name, w in weights.items() if "fc1" not in name}, path, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks the weights .*fc1"):
        Translator(config(tmp_path / "model"))


def test_a_model_of_the_hub_is_fixed_to_its_commit(monkeypatch):
    monkeypatch.setattr("pecl.data.translating.mt.cached_file", lambda *_, **__: "/hub/snapshots/0a1b/config.json")
    assert _fixed_revision(config("facebook/nllb-200-distilled-600M")) == "0a1b"


@pytest.mark.parametrize(("family", "codes"), [("nllb", set(NLLB) - {"sat_Beng"}), ("m2m100", {*M2M100["m2m100"]})])
def test_every_language_of_nllb_and_m2m100_has_a_row(family, codes, translation_models):
    tokenizer = AutoTokenizer.from_pretrained(translation_models[family])
    tokens = {f"__{code}__" if family == "m2m100" else code for code in codes}
    known, found = {token_id(tokenizer, token): token for token in tokens}, set()
    for code in LANGUAGES:
        with contextlib.suppress(ConfigError):
            found.add(known[language_settings(tokenizer, "en", code).first_token_id])
    assert found == tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_translations_are_as_long_as_the_model_has_positions(family, translation_models):
    """A Marian model has 64 positions, of which the first token takes one; the other families make theirs as needed."""
    model = AutoModelForSeq2SeqLM.from_pretrained(translation_models[family])
    ids, start = torch.tensor([[2, 3]]), torch.full((1, 65), 2)
    assert model(ids, decoder_input_ids=start[:, :64]).logits.shape[1] == 64
    if family == "marian":
        with pytest.raises(IndexError):
            model(ids, decoder_input_ids=start)
        with pytest.raises(ConfigError, match=r"max_new_tokens: expected at most 64, the positions of .*, got 65"):
            Translator(config(translation_models[family], max_new_tokens=65))
    else:
        Translator(config(translation_models[family], max_new_tokens=65)).translate(["a dog"])
    longest = Translator(config(translation_models[family], max_new_tokens=64))
    longest._model.generation_config.min_new_tokens = 64
    assert longest.translate(["a dog"])[0]
