import random

import pytest
from helpers.report_results import changed, recalls, train
from hypothesis import given, settings
from hypothesis import strategies as st

from pecl.report.tables import best_runs, chosen_candidates
from pecl.report.tables.candidates import setups_of


def grid(scores, seeds=(1,)):
    """Return one training for each learning rate and seed; `scores` is lr -> validation score."""
    return [train(5, 8, lr=lr, val=score, seed=seed) for lr, score in scores.items() for seed in seeds]


def ids(candidates):
    return [candidate.run_ids for candidate in candidates]


def test_validation_chooses():
    (candidate,) = chosen_candidates(grid({1e-4: 0.3, 2e-4: 0.6, 4e-4: 0.5}))
    assert candidate.config.lr == 2e-4
    assert (candidate.compared, candidate.aside) == (3, 0)


@settings(max_examples=25)
@given(st.randoms(use_true_random=False), st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_test_scores_never_change_the_choice(chance, validation):
    results = grid({(i + 1) * 1e-4: score for i, score in enumerate(validation)}, seeds=(1, 2))
    others = []
    for result in results:
        ranks = {
            stage: {direction: chance.choices(range(1, 21), k=20) for direction in own}
            for stage, own in result.all_ranks["test"].items()
        }
        metrics = {stage: recalls(own) for stage, own in ranks.items()}
        others.append(changed(result, {"ranks.test": ranks, "metrics.test": metrics}))
    assert ids(chosen_candidates(others)) == ids(chosen_candidates(results))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=5), st.lists(st.floats(0, 1), min_size=1, max_size=3))
def test_further_seeds_of_the_chosen_candidate_do_not_change_the_choice(validation, later):
    results = grid({(i + 1) * 1e-4: score for i, score in enumerate(validation)})
    (first,) = chosen_candidates(results)
    more = [train(5, 8, lr=first.config.lr, seed=2 + i, val=score) for i, score in enumerate(later)]
    (again,) = chosen_candidates(results + more)
    assert again.config.lr == first.config.lr
    assert again.seeds == [1, *range(2, 2 + len(later))]
    assert again.chosen_run.run_id == first.chosen_run.run_id


def test_text_alone_and_text_with_photographs_are_not_compared():
    single, neighbour = (train(5, 8, text="a.tsv", image_weight=weight, val=0.5 + weight) for weight in (0.0, 0.1))
    text = {"dataset": "text", "sha256": {"english": "e", "target": "t"}, "provenance": {}}
    results = [
        changed(single, {"data.translations": text}),
        changed(neighbour, {"data.translations": {**text, "photographs": 50}}),
    ]
    assert sorted(ids(chosen_candidates(results))) == sorted([[single.run_id], [neighbour.run_id]])
    assert list(setups_of(results)) == ["trained on a.tsv", "trained on a.tsv and 50 photographs"]


def test_equal_scores_go_by_run_id_whatever_the_order_of_files():
    results = grid({1e-4: 0.5, 2e-4: 0.5, 4e-4: 0.5})
    lowest = min(result.run_id for result in results)
    for seed in range(5):
        random.Random(seed).shuffle(results)
        assert best_runs(results)[0].run_id == lowest


def test_a_lucky_seed_of_one_candidate_is_not_compared_with_another_seed_of_the_rest():
    results = [*grid({1e-4: 0.6, 2e-4: 0.5}, seeds=(1,)), train(5, 8, lr=2e-4, seed=0, val=0.9)]
    (candidate,) = chosen_candidates(results)
    assert (candidate.config.lr, candidate.seed) == (1e-4, 1)


def test_seeds_that_equally_many_candidates_have_go_by_the_lowest():
    """Two candidates have seed 2 and two have seed 3; seed 1 is there once, and seed 3 is seen before seed 2."""
    seeds = {1e-4: {1: 0.9, 3: 0.8}, 2e-4: {2: 0.6, 3: 0.3}, 4e-4: {2: 0.7}}
    results = [train(5, 8, lr=lr, seed=seed, val=val) for lr, found in seeds.items() for seed, val in found.items()]
    (candidate,) = chosen_candidates(results)
    assert (candidate.seed, candidate.config.lr, candidate.compared, candidate.aside) == (2, 4e-4, 2, 1)


def test_a_candidate_without_the_seed_stands_aside_and_is_counted():
    results = [*grid({1e-4: 0.3, 2e-4: 0.4}), train(5, 8, lr=4e-4, seed=7, val=0.9)]
    (candidate,) = chosen_candidates(results)
    assert (candidate.config.lr, candidate.compared, candidate.aside) == (2e-4, 2, 1)


@pytest.mark.parametrize(
    "values",
    [
        {"language": "fr"},
        {"route": "baseline1"},
        {"adapter": "bottleneck"},
        {"shots": 25},
        {"split_seed": 7},
        {"train_on": "flickr30k200"},
        {"dataset": "scenes"},
        {"test_query": "official-run-cross"},
    ],
)
def test_what_is_not_searched_over_is_chosen_apart(values):
    assert len(chosen_candidates([train(5, 8), train(5, 8, **values)])) == 2


@pytest.mark.parametrize("values", [{"alignment": "contrastive"}, {"epochs": 3}, {"alignment_weight": 0.3}])
def test_what_is_searched_over_is_chosen_from(values):
    assert len(chosen_candidates([train(5, 8), train(5, 8, **values)])) == 1


def test_mean_and_standard_deviation_over_seeds():
    (candidate,) = chosen_candidates([train(4, hits, size=10, seed=seed) for seed, hits in ((3, 8), (1, 6), (2, 7))])
    assert candidate.seeds == [1, 2, 3]
    assert candidate.scores == pytest.approx([0.6, 0.7, 0.8])
    assert (candidate.mean, candidate.std, candidate.zero_shot) == pytest.approx((0.7, 0.1, 0.4))
    assert candidate.gains == pytest.approx([0, 0, 0, 0, 1, 1, 2 / 3, 1 / 3, 0, 0])
