"""A number that occurs in several documents is the same in each."""

import re

import pytest
from helpers.project import ROOT

# fact -> the places that state it: a document, and a pattern that finds the number once
FACTS = {
    "R@1 of Czech, distilled": [
        ("README.md", r"triples R@1 for Czech to ([\d.]+)"),
        ("README.md", r"\| Czech \(cs\) \| [\d.]+ \| \*\*([\d.]+)"),
        ("docs/results.md", r"\| distilled \| 26,988 \| 187,648 \| ([\d.]+) /"),
    ],
    "R@1 of Czech without an adapter": [
        ("README.md", r"for English captions and ([\d.]+) for Czech"),
        ("README.md", r"\| Czech \(cs\) \| ([\d.]+) \|"),
        ("docs/results.md", r"\| base encoder, no adapter \| - \| - \| ([\d.]+) /"),
    ],
    "R@1 of English in bf16": [
        ("README.md", r"among 900 photographs is ([\d.]+) for English"),
        ("README.md", r"\| English \(en\), for comparison \| ([\d.]+)"),
        ("README.md", r"English zero-shot ([\d.]+) \(bf16"),
        ("docs/results.md", r"R@1 of English \(([\d.]+)\) is its limit"),
        ("docs/results.md", r"precision: ([\d.]+) in bf16"),
        ("docs/methods.md", r"English ([\d.]+)\. \d+ of the"),
        ("results/measured/effect/README.md", r"\| English \| ([\d.]+) \|"),
    ],
    "R@1 of English in fp32": [
        ("docs/results.md", r"in bf16, ([\d.]+) in fp32"),
        ("docs/results.md", r"\| en \| ([\d.]+) \| [\d.]+ ±"),
        ("docs/screening.md", r"\| German \(de\) \| 900 images \| [\d.]+ \| ([\d.]+)"),
    ],
    "share of Czech's gap, 27,000 pairs": [
        ("README.md", r"\| Czech .* \| (\d+) % \|"),
        ("docs/results.md", r"\| 27,000 \| (\d+) %"),
        ("docs/results.md", r"\| distilled \| 26,988 \| 187,648 \| [\d.]+ / [\d.]+ / (\d+) %"),
        ("docs/distil.md", r"\| 27,000 .*\| (\d+) % \|"),
        ("docs/adapters.md", r"Without them, the mean of three seeds is \[(\d+) %"),
    ],
    "share of Czech's gap, 5,000 pairs": [
        ("docs/results.md", r"\| 5,000 \| (\d+) %"),
        ("docs/distil.md", r"\| 5,000 .*\| (\d+) % \|"),
    ],
    "share of Czech's gap, 757 pairs": [
        ("docs/results.md", r"\| 757 \| (\d+) %"),
        ("docs/distil.md", r"\| 757 .*\| (\d+) % \|"),
        (
            "results/measured/effect/README.md",
            r"\| the default \| 187,648 \| 3 \| [\d.]+ \| [\d.]+ \| (\d+) % \|  \|\n\| `--adapter",
        ),
    ],
    "share of Czech's gap, 50 pairs": [
        ("docs/results.md", r"\| 50 \| (\d+) %"),
        ("docs/distil.md", r"\| 50 .*\| (\d+) % \|"),
    ],
    "largest gain of a few-shot route": [
        ("README.md", r"no measurable gain \(the largest is (\S+ \[.*?\])\)"),
        ("docs/results.md", r"largest gain of a route over zero-shot is (\S+ \[.*?\])"),
    ],
    "gain at 50 Czech pairs": [
        ("docs/results.md", r"the same defaults gain (\S+ \[.*?\])"),
        ("results/measured/effect/README.md", r"\| cs \| 50 \| gradient \| [\d.]+ \| (\S+ \[.*?\])"),
    ],
    "gain of few-shot captions, as distilled": [
        ("docs/results.md", r"on these captions (\S+ \[.*?\])"),
        ("results/measured/effect/README.md", r"\| cs \| 50 \| as distilled \| 3 \| [\d.]+ \| (\S+ \[.*?\])"),
    ],
    "full fine-tuning": [
        ("docs/results.md", r"parameters close (\d+) % of Czech's"),
        ("results/measured/effect/README.md", r"`--adapter full --lr 0.0003 .*?\| [\d.]+ \| [\d.]+ \| (\d+) %"),
    ],
    "mean recall of pecl against sentence-transformers": [
        ("README.md", r"a mean recall of ([\d.]+)"),
        ("docs/results.md", r"\| pecl distil \| 187,648 \| [\d.]+ \| ([\d.]+)"),
    ],
    "mean recall of sentence-transformers": [
        ("README.md", r"sentence-transformers ([\d.]+) in"),
        ("docs/results.md", r"\| sentence-transformers, all parameters \| 117,604,480 \| [\d.]+ \| ([\d.]+)"),
    ],
    "R@1 of Italian on XTD10": [
        ("docs/results.md", r"\n\| it \| ([\d.]+) \| [\d.]+ \| \+"),
        ("docs/results.md", r"\| mini \| [\d.]+ \| [\d.]+ \| [\d.]+ \| ([\d.]+)"),
    ],
    "R@1 of XTD200 with the adapters": [
        ("docs/language_results.md", r"before, ([\d.]+) \([\d.]+\) after\.\n- In"),
        ("docs/language_results.md", r"\| captions \(XTD200\) \| 200 languages: ([\d.]+)"),
    ],
    "parameters of a distilled adapter": [
        ("README.md", r"pecl adds ([\d,]+) parameters per language"),
        ("README.md", r"The table's adapters have ([\d,]+) parameters"),
        ("docs/results.md", r"differs from the base encoder: ([\d,]+),"),
    ],
    "languages": [
        ("docs/languages.md", r"# all (\d+), by region"),
        ("docs/extend.md", r"pecl has (\d+) languages"),
    ],
    "languages of emoji": [
        ("docs/languages.md", r"\| `emoji` \| (\d+) and English"),
        ("docs/languages.md", r"\| names of emoji \(`emoji`\), (\d+) languages"),
        ("docs/distil.md", r"from Unicode CLDR, in \[(\d+) languages"),
    ],
    "captions of XTD200": [
        ("data/README.md", r"its ([\d,]+) captions"),
        ("docs/towers.md", r"\(([\d,]+) captions and"),
    ],
    "download of SigLIP 2": [
        ("README.md", r"([\d.]+) GB to download"),
        ("docs/photographs.md", r"downloads ([\d.]+) GB"),
    ],
    "weights of mini": [
        ("docs/photographs.md", r"weights of `mini` \((\d+) MB\)"),
        ("docs/reliability.md", r"unpacked weights (?:have|take) (\d+) MB"),
    ],
    "a step of the paper's pair": [
        ("docs/results.md", r"\| 4\.1 \| 1\.9 \| 0\.07 \| ([\d.]+) \|"),
        ("docs/immich.md", r"a step of 32 pairs took ([\d.]+) s"),
    ],
}


@pytest.mark.parametrize("fact", FACTS)
def test_a_number_is_the_same_in_each_document(fact):
    found = {}
    for page, pattern in FACTS[fact]:
        wrapped = pattern.replace(" ", r"\s+")  # a line of the page may end at any space
        places = re.findall(wrapped, (ROOT / page).read_text("utf-8"))
        assert places, f"{page} no longer states {fact}: {pattern}"
        found[page, pattern] = places[0]
    assert len(set(found.values())) == 1, found
