"""Training text with mixed captions behind its pairs: what is a word depends on the script of the language."""

import itertools

import pytest

from pecl.config import make_config
from pecl.data.captions import ParallelCaptions
from pecl.experiment.loading import with_mixed
from pecl.experiment.training_text import TrainingText

ANIMALS = {"dog": "小狗", "cat": "猫咪", "horse": "骏马", "bird": "鸟儿"}
VERBS = {"sleeps": "睡觉", "runs": "奔跑", "eats": "吃饭", "sings": "唱歌"}


@pytest.mark.parametrize(("language", "in_words"), [("zh", True), ("ko", False), ("tlh", False)])
def test_words_of_a_script_without_spaces_are_found_in_its_texts(language, in_words, tmp_path):
    pairs = list(itertools.product(ANIMALS, VERBS, ".!"))
    english = [f"{animal} {verb}{mark}" for animal, verb, mark in pairs]
    own = [f"{ANIMALS[animal]}{VERBS[verb]}{mark}" for animal, verb, mark in pairs]
    captions = tmp_path / "captions.txt"
    captions.write_text("dog runs fast\n", "utf-8")
    config = make_config({"language": language, "text": "pairs.tsv", "mixed": str(captions), "dataset": "my.csv"})
    text = TrainingText(ParallelCaptions("text", language, english, own))
    mixed = with_mixed(text, config, ParallelCaptions("test", language, ["again"], ["又"]))
    assert (mixed.train.target[-1] == "小狗奔跑 fast") is in_words
    assert mixed.train.english[-1] == "dog runs fast"
