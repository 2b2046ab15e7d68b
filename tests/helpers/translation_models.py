"""Tiny random translation models of each family, in the files and formats of their checkpoints, and translators."""

import io
import json

import pytest
import sentencepiece
import torch
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
    NllbTokenizer,
)

from pecl.data.translating.mt import TranslationConfig, Translator

SENTENCES = [
    "a red dog runs over a green hill",
    "two children play with a ball in the sand",
    "a woman reads a book under an old tree",
    "the boat lies at the shore of a quiet lake",
    "a man in a blue coat waits for the bus",
    "a cat sleeps on the warm roof of a car",
    "three birds sit on a wire in the rain",
    "an empty chair stands in a bright room",
]
SHAPE = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 64,
    "dropout": 0.0,
}


def _sentencepiece_model():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=model, vocab_size=80, hard_vocab_limit=False, minloglevel=2
    )
    return model.getvalue()


def _pieces(content):
    """Return the pieces of a model that are parts of words."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=content)
    pieces = (processor.id_to_piece(i) for i in range(processor.get_piece_size()))
    return [piece for piece in pieces if piece not in ("<unk>", "<s>", "</s>")]


def _save(folder, tokenizer, model_class, config, pieces):
    torch.manual_seed(0)
    model = model_class(config).eval()
    for parameter in model.parameters():
        parameter.data.mul_(20)  # so that different inputs give different outputs
    # Words come out, not codes of languages, and not nothing.
    words = set(tokenizer.convert_tokens_to_ids(pieces)) | {config.eos_token_id}
    model.generation_config.bad_words_ids = [[i] for i in range(config.vocab_size) if i not in words]
    model.generation_config.min_length = 5
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def make_marian(folder, codes=(), **tokenizer_options):
    """An OPUS model; `codes` such as ">>kor<<" make it one with several target languages."""
    content = _sentencepiece_model()
    folder.mkdir(parents=True)
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes(content)
    pieces = _pieces(content)
    vocabulary = {piece: i for i, piece in enumerate(["</s>", "<unk>", *pieces, *codes, "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    tokenizer = MarianTokenizer(
        str(folder / "source.spm"), str(folder / "target.spm"), str(folder / "vocab.json"), **tokenizer_options
    )
    pad = vocabulary["<pad>"]
    config = MarianConfig(
        vocab_size=len(vocabulary), pad_token_id=pad, eos_token_id=0, decoder_start_token_id=pad, **SHAPE
    )
    return _save(folder, tokenizer, MarianMTModel, config, pieces)


def make_m2m100(folder):
    content = _sentencepiece_model()
    folder.mkdir(parents=True)
    (folder / "sentencepiece.bpe.model").write_bytes(content)
    pieces = _pieces(content)
    vocabulary = {piece: i for i, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", *pieces])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"))
    config = _m2m100_config(len(vocabulary) + 108)  # 100 codes of languages, 8 spare
    return _save(folder, tokenizer, M2M100ForConditionalGeneration, config, pieces)


def make_nllb(folder):
    characters = sorted({character for sentence in SENTENCES for character in sentence if character != " "} | {"▁"})
    merges = [("▁", character) for character in characters if character != "▁"]
    pieces = [*characters, *(f"▁{character}" for _, character in merges)]
    vocabulary = {piece: i for i, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", *pieces])}
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=merges)
    return _save(folder, tokenizer, M2M100ForConditionalGeneration, _m2m100_config(len(tokenizer)), pieces)


def _m2m100_config(vocabulary_size):
    return M2M100Config(
        vocab_size=vocabulary_size, pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2, **SHAPE
    )


FAMILIES = {"marian": make_marian, "m2m100": make_m2m100, "nllb": make_nllb}


@pytest.fixture(scope="module")
def one_thread():
    """Two threads take longer than one over so small a model."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def translation_models(tmp_path_factory):
    root = tmp_path_factory.mktemp("translation_models")
    return {family: make(root / family) for family, make in FAMILIES.items()}


def config(model, source="en", target="jp", **options):
    return TranslationConfig(str(model), source, target, **{"num_beams": 2, "max_new_tokens": 12, **options})


@pytest.fixture(scope="session")
def translators(translation_models):
    return {family: Translator(config(model)) for family, model in translation_models.items()}


@pytest.fixture
def translator(translators):
    return translators["m2m100"]
