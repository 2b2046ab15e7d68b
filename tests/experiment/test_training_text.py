"""Training text: what is empty, repeated or in the test part, and what is held out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pecl.config import ExperimentConfig
from pecl.data.captions import ParallelCaptions
from pecl.errors import DataError
from pecl.experiment.training_text import hold_out, load_text, without_overlap


def made(pairs, **columns):
    targets, english = zip(*pairs, strict=True)
    return ParallelCaptions("text", "de", english, targets, **columns)


def pairs_of(text):
    return list(zip(text.target, text.english, strict=True))


def config_of(text, **values):
    return ExperimentConfig(text=text, language="de", **values)


# --- empty and repeated pairs

UNCLEAN = [("eins", "one"), ("", "two"), ("eins", "one"), ("drei", " "), ("uno", "one"), ("eins", "one")]


def named(pairs):
    return {"made": lambda: made(pairs)}


def aligned(folder, pairs):
    """Write two aligned files and return them as a source."""
    for name, lines in zip(("c.de", "c.en"), zip(*pairs, strict=True), strict=True):
        (folder / name).write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return f"{folder}/c.de={folder}/c.en"


def test_clean_drops_what_is_empty_or_repeated_and_counts_and_says_it(caplog, tmp_path):
    source = aligned(tmp_path, UNCLEAN)
    caplog.set_level("INFO", "pecl")
    text, _ = load_text(config_of(source, clean=True), {})
    assert pairs_of(text) == [("eins", "one"), ("uno", "one")]  # two translations of one caption both stay
    (record,) = text.provenance["sources"]
    assert record == record | {"source": source, "weight": 1.0, "pairs": 6, "empty": 2, "repeated": 2}
    assert caplog.messages == [
        f"{source}: pairs are dropped (6 were read, 2 with an empty side and 2 that repeat another)"
    ]


def test_repeated_pairs_stay_with_a_warning(caplog):
    full = [pair for pair in UNCLEAN if all(text.strip() for text in pair)]
    text, _ = load_text(config_of("made"), named(full))
    assert pairs_of(text) == full
    assert caplog.messages == ["made: 2 of 4 pairs are duplicates: clean=True drops them"]


@pytest.mark.parametrize("other", [("eins", "1"), ("uno", "one"), ("einso", "ne")])
def test_a_pair_repeats_another_only_where_both_sides_are_equal(caplog, other):
    pairs = [("eins", "one"), other]
    text, _ = load_text(config_of("made", clean=True), named(pairs))
    assert pairs_of(text) == pairs
    assert text.provenance["sources"][0]["repeated"] == 0
    assert not caplog.messages


@pytest.mark.parametrize("equal", [1, 2])
def test_pairs_with_the_same_text_on_both_sides_are_counted_and_many_are_warned_of(tmp_path, caplog, equal):
    pairs = [(f"{i}", f"{i}") for i in range(equal)] + [(f"Satz {i}", f"sentence {i}") for i in range(10 - equal)]
    text, _ = load_text(config_of(aligned(tmp_path, pairs)), {})
    assert text.provenance["sources"][0]["equal"] == equal
    said = [message for message in caplog.messages if "2 of 10 pairs have the same text on both sides: are" in message]
    assert len(said) == (equal > 1)  # a tenth may be names and numbers
    assert "equal" not in load_text(config_of("made"), named([("eins", "one")]))[0].provenance["sources"][0]


def test_several_sources_follow_each_other_with_their_weights(tmp_path):
    (tmp_path / "a.tsv").write_text("en\tde\none\teins\ntwo\tzwei\n")
    text, _ = load_text(config_of(f"made@2,{tmp_path}/a.tsv"), named([("drei", "three")]))
    assert pairs_of(text) == [("drei", "three")] * 2 + [("eins", "one"), ("zwei", "two")]
    assert [record["pairs"] for record in text.provenance["sources"]] == [1, 2]


# --- overlap with the test part

TEST = made(
    [("Ein Hund läuft.", "A dog runs."), ("Eine Katze.", "A cat."), ("???", "Two birds.")],
    english_to_target=("Ein Hund rennt", "Die Katze", "Zwei Vögel"),
    target_to_english=("a dog is running", "one cat", "2 birds"),
)
CLEAN = [("Ein Haus.", "A house."), ("Ein Boot.", "A boat.")]


@pytest.mark.parametrize(
    "pair",
    [
        ("Der Hund läuft.", "A dog runs."),  # its English side
        ("Ein Hund läuft.", "The dog runs."),  # its target side
        ("zwei vögel!!", "birds"),  # a translation of the test part
        ("Katze", "One  CAT"),  # a translation back
        ("A dog runs", "Ein Hund läuft"),  # columns swapped
    ],
)
def test_a_pair_of_the_test_part_is_refused_dropped_or_allowed(pair):
    text = made([CLEAN[0], pair, CLEAN[1]])
    assert (
        without_overlap(made([*CLEAN, ("...", "!")]), TEST, "refuse").provenance["overlap"]["pairs"] == 0
    )  # no letter
    with pytest.raises(DataError, match=r"text: 1 of 3 pairs are in the test part, first pair 2 \(.*overlap='allow'"):
        without_overlap(text, TEST, "refuse")
    dropped = without_overlap(text, TEST, "drop")
    assert pairs_of(dropped) == CLEAN
    assert dropped.provenance["overlap"] == {"pairs": 1, "dropped": 1}
    allowed = without_overlap(text, TEST, "allow")
    assert pairs_of(allowed) == pairs_of(text)
    assert allowed.provenance["overlap"] == {"pairs": 1, "dropped": 0}


# --- what is held out


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 12)), min_size=10, max_size=80), st.integers(1, 8))
def test_no_english_caption_is_held_out_and_trained_on(pairs, held_out):
    """Many translations of a few captions: what is trained on shares none with what is held out, and nothing is new."""
    text = made([(f"Satz {i} {j}", f"caption {j}") for i, j in pairs])
    try:
        parts = hold_out(text, held_out, None)
    except DataError:
        assert len(set(text.english)) <= held_out  # every caption would be held out
        return
    val, train = parts.held_out, parts.train
    assert not set(val.english) & set(train.english)
    assert len(set(val.english)) == len(val) == held_out == train.provenance["held_out"]
    assert set(pairs_of(val)) | set(pairs_of(train)) <= set(pairs_of(text))
    left = [pair for pair in pairs_of(text) if pair[1] not in set(val.english)]
    assert sorted(pairs_of(train)) == sorted(left)


@pytest.mark.parametrize(("count", "held_out"), [(10, 1), (99, 9), (20_000, 1000)])
def test_a_tenth_is_held_out_and_a_thousand_at_most(count, held_out):
    text = hold_out(made([(f"Satz {i}", f"caption {i}") for i in range(count)]), None, None)
    assert (len(text.held_out), len(text.train)) == (held_out, count - held_out)


def test_a_caption_with_a_large_weight_is_no_likelier_held_out():
    """A hundred captions fifty times each next to 900 that are there once: some tenth of either is held out."""
    small = [(f"Satz {i}", f"small {i}") for i in range(100)]
    large = [(f"Satz {i}", f"large {i}") for i in range(900)]
    held_out = hold_out(made(small * 50 + large), None, None).held_out.english
    assert len(held_out) == len(set(held_out)) == 100
    assert 3 <= sum(english.startswith("small") for english in held_out) <= 20


def test_fewer_pairs_are_the_first_of_the_same_order_and_leave_what_is_held_out():
    text = made([(f"Satz {i}", f"caption {i}") for i in range(200)])
    whole, few, fewer = (hold_out(text, 20, size) for size in (None, 50, 10))
    for found, size in ((few, 50), (fewer, 10)):
        assert found.held_out.english == whole.held_out.english
        assert found.train.english == whole.train.english[:size]
    assert whole.train.english != tuple(sorted(whole.train.english))  # no head of the file


@pytest.mark.parametrize(("pairs", "captions", "held_out"), [(9, 9, None), (10, 10, 10), (40, 4, None)])
def test_too_few_pairs_to_hold_out_are_refused(pairs, captions, held_out):
    said = f"hold out {held_out or 1}: {pairs} of {captions} .*; add pairs or {'lower' if held_out else 'set'} held_out"
    with pytest.raises(DataError, match=said):
        hold_out(made([(f"Satz {i}", f"caption {i % captions}") for i in range(pairs)]), held_out, None)
