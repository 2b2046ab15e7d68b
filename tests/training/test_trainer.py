from functools import partial

import pytest
import torch
from helpers.small_training import PAIRS, slot_run, trainer
from helpers.tiny import sentences, tiny_tower

from pecl.adapters.spec import parse_adapter
from pecl.training.losses import ANCHOR, CAPTIONS, IMAGES, QUERY, ContrastiveLoss, mse
from pecl.training.schedule import Schedule
from pecl.training.slot_run import Batch, Photographs, RunBatch


def run_of(*seeds, schedule=None, **options):
    """A training of one slot for each seed."""
    tower = tiny_tower()
    return trainer(tower, [slot_run(tower, seed=seed) for seed in seeds], schedule, **options)


OPTIONS = [{"seed": 1}, {"seed": 1, "lr": 3e-3, "anchor": "frozen"}, {"seed": 3, "anchor": "none"}]


@pytest.mark.parametrize(
    ("spec", "steps"),
    [("lora:r=2,lora_dropout=0.2+layernorm", 20), ("prefix", 6), ("full", 6)],
)
def test_a_fleet_learns_what_its_runs_learn_alone_with_dropout(spec, steps):
    """Equal batches and losses (to 1e-5); the tower drops a tenth, so masks that differed would tell."""
    schedule, configs = Schedule(epochs=steps // 2, batch_size=6, eval_every=10), parse_adapter(spec)

    def losses(options):
        tower = tiny_tower()
        run = trainer(tower, [slot_run(tower, **{"lr": 1e-3, **one}) for one in options], schedule, configs)
        found = []
        for step in range(run.total_steps):
            found.append(([list(part.pairs) for part in run.batch(step).runs], run.train_step()))
        assert len(found) == steps
        return [indices for indices, _ in found], torch.stack([loss for _, loss in found])  # (steps, S)

    chosen, together = losses(OPTIONS)
    for slot, option in enumerate(OPTIONS):
        own, single = losses([option])
        assert [step[slot] for step in chosen] == [step[0] for step in own]
        torch.testing.assert_close(together[:, slot], single[:, 0], rtol=0, atol=1e-5)


def test_every_epoch_sees_every_pair_once_in_a_new_order():
    run = run_of(1)
    epochs = [[i for step in range(3 * e, 3 * e + 3) for i in run.batch(step).runs[0].pairs] for e in range(3)]
    assert all(sorted(epoch) == list(range(PAIRS)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


# --- photographs next to text


def beside_text(tower, seed=1, anchor="frozen"):
    """Return a run on text, and seven captioned photographs next to it."""
    generator = torch.Generator().manual_seed(seed)
    photographs = Photographs(
        {CAPTIONS: tower.tokenize(sentences(7, seed=30 + seed))},
        {IMAGES: torch.randn(7, tower.embedding_dim, generator=generator)},
    )
    run = slot_run(tower, seed=seed, anchor=anchor, photographs=photographs)
    del run.pairs.embeddings[IMAGES]
    return run


@pytest.mark.parametrize("anchor", ["frozen", "student"])
def test_a_step_is_of_a_batch_of_text_and_one_of_photographs(anchor):
    tower = tiny_tower()
    run = trainer(tower, [beside_text(tower, anchor=anchor)])
    (learned,) = run.runs
    pairs, photographs = learned.pairs, learned.photographs
    for _ in range(3):
        (part,) = run.batch(run.step).runs
        chosen, neighbour = part.pairs, photographs.batch(run.step, run.schedule.batch_size, learned.seed)
        embed = lambda ids, rows: tower.encode_token_ids([ids[row] for row in rows])  # noqa: E731
        query = embed(pairs.texts[QUERY], chosen)
        target = pairs.embeddings[ANCHOR][chosen] if anchor == "frozen" else embed(pairs.texts[ANCHOR], chosen)
        captions, images = embed(photographs.texts[CAPTIONS], neighbour), photographs.embeddings[IMAGES][neighbour]
        clip = ContrastiveLoss()(images, captions)
        torch.testing.assert_close(run.train_step()[0], clip + 0.5 * mse(query, target), rtol=1e-4, atol=1e-5)


def test_slots_with_photographs_equal_separate_runs():
    def final_states(*makers):
        tower = tiny_tower()
        run = trainer(tower, [make(tower) for make in makers])
        run.run()
        return [run.adapter.slot_state(slot) for slot in range(len(makers))]

    makers = slot_run, partial(beside_text, seed=2), partial(beside_text, seed=3, anchor="student")
    single = [state for one in makers for state in final_states(one)]
    torch.testing.assert_close(final_states(*makers), single, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(("count", "size", "steps"), [(7, 3, 2), (2, 5, 1)])
def test_photographs_come_again_in_new_orders_and_full_batches(count, size, steps):
    photographs = Photographs({CAPTIONS: [[1]] * count}, {IMAGES: torch.zeros(count, 2)})
    rounds = [[photographs.batch(steps * i + j, size, seed=4) for j in range(steps)] for i in range(12)]
    for one in rounds:
        assert all(len(batch) == min(size, count) for batch in one)
        assert len({pair for batch in one for pair in batch}) == steps * min(size, count)
    assert len({str(one) for one in rounds}) > 1
    assert {pair for one in rounds for batch in one for pair in batch} == set(range(count))


def test_dropout_is_drawn_from_the_seed_and_the_step_alone():
    def loss(dropout=True, seed=1, step=0, drawn_before=0):
        run = run_of(1, schedule=Schedule(1, 5, 2, dropout))
        run.runs[0].seed = seed
        with torch.no_grad():  # the initial adapter is the identity for every seed, and the pairs stay the same
            for name, parameter in run.adapter.named_parameters():
                parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter) / 10 + ("weight" in name))
        run.step = step
        torch.manual_seed(drawn_before)
        return run.losses(Batch([RunBatch(run.runs[0], [0, 1, 2, 3, 4], [])])).item()

    assert loss() == loss() == loss(drawn_before=7)
    assert len({loss(), loss(seed=2), loss(step=1), loss(step=2), loss(dropout=False)}) == 5
    assert loss(dropout=False) == loss(dropout=False, seed=2, step=1)


def diverging(run, slot, step):
    """Let the loss of `slot` become infinite in `step`, counted from 1."""
    plain = run.runs[slot].loss
    run.runs[slot].loss = lambda views: plain(views) * (float("inf") if run.step + 1 == step else 1)
    return run


def test_a_slot_that_diverges_leaves_and_the_others_learn_as_without_it():
    schedule = Schedule(epochs=4, batch_size=5, eval_every=3, dropout=True, ema=0.9)
    run = diverging(run_of(1, 2, 3, schedule=schedule), 1, 5)
    first, diverged, third = run.run()
    assert (diverged.stopped, [step for step, _ in diverged.losses]) == (5, [3])
    assert diverged.diverged == "training diverged by step 5: the loss is inf; choose a smaller learning rate than 0.01"
    for slot, record in ((0, first), (2, third)):
        alone = run_of(slot + 1, schedule=schedule)
        (single,) = alone.run()
        assert record.stopped is None
        assert [loss for _, loss in record.losses] == pytest.approx([loss for _, loss in single.losses], abs=1e-5)
        own = alone.adapter.slot_state(0)
        torch.testing.assert_close(run.adapter.slot_state(slot), own, rtol=1e-4, atol=1e-5)


def test_a_slot_without_a_score_has_diverged():
    run = run_of(1, 2, schedule=Schedule(2, 5, 2, False))
    run.validate = lambda slots: [float("nan") if slot and run.step > 2 else 0.5 for slot in slots]
    first, second = run.run()
    assert (first.stopped, second.stopped) == (None, 4)
    assert "training diverged by step 4: the embeddings contain NaN" in second.diverged


def test_a_slot_that_is_out_of_patience_stops_as_it_stops_alone():
    schedule = Schedule(epochs=6, batch_size=5, eval_every=2, dropout=False, patience=2)
    scores = {1: [0.9, 0.1, 0.2, 0.3], 2: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]}

    def trained(*seeds):
        run = run_of(*seeds, schedule=schedule)
        given = {seed: iter(scores[seed]) for seed in seeds}
        run.validate = lambda slots: [next(given[seeds[slot]]) for slot in slots]
        return run.run(), [run.adapter.slot_state(slot) for slot in range(len(seeds))]

    records, states = trained(1, 2)
    assert [record.stopped for record in records] == [6, None]
    for slot, seed in enumerate((1, 2)):
        (single,), (state,) = trained(seed)
        assert (single.stopped, single.best_step) == (records[slot].stopped, records[slot].best_step)
        torch.testing.assert_close(states[slot], state, rtol=1e-4, atol=1e-5)


def test_what_has_left_stays_away_after_a_kill(tmp_path):
    schedule = Schedule(epochs=4, batch_size=5, eval_every=3, dropout=True)

    def made(name):
        return diverging(run_of(1, 2, schedule=schedule, state_path=tmp_path / name), 1, 2)

    expected = made("whole").run()
    stopped = made("resumed")
    stopped.total_steps = 6
    stopped.run()
    found = made("resumed").run()
    assert [(r.stopped, r.diverged) for r in found] == [(r.stopped, r.diverged) for r in expected]
