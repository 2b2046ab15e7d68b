"""Faults that would change a reported number in silence: splits, columns, slots, curves, scores and losses."""

from mutants.table import Mutant

_RUNS = "tests/experiment/test_whole_runs.py"
_BY_HAND = f"{_RUNS}::test_a_run_whose_best_step_is_not_its_last_reports_the_numbers_of_the_same_run_by_hand"
_COLUMNS = f"{_RUNS}::test_every_route_trains_validates_and_tests_on_its_own_columns"
_METHOD3 = f"{_COLUMNS}[method3-student-official-run-cross]"
_FROZEN = f"{_COLUMNS}[method1-frozen-train-side]"
_ENGLISH = f"{_RUNS}::test_text_alone_is_aligned_by_the_same_columns_and_finds_english_captions"
_TRANSLATED = f"{_RUNS}::test_translated_text_takes_the_place_of_the_training_pairs_alone"
_FLEET = f"{_RUNS}::test_a_fleet_gives_each_run_what_it_gets_alone"
_JOINT = f"{_RUNS}::test_a_joint_training_is_one_delta_of_the_summed_losses_and_the_mean_of_the_scores"
_EVALUATED = f"{_RUNS}::test_evaluation_of_the_file_gives_the_recall_that_the_training_reported"
_TRAINER = "tests/training/test_trainer.py"
_FLEET_DROPOUT = f"{_TRAINER}::test_a_fleet_learns_what_its_runs_learn_alone_with_dropout"
_DROPOUT = f"{_TRAINER}::test_dropout_is_drawn_from_the_seed_and_the_step_alone"
_INTERVALS = f"{_TRAINER}::test_a_loss_of_the_curve_is_the_mean_over_its_own_interval"
_SLOT_SCORE = f"{_TRAINER}::test_the_score_of_a_slot_is_the_mean_of_its_tasks"
_BEST = f"{_TRAINER}::test_best_is_the_highest_score_and_ties_go_to_the_later"
_SLOTS = f"{_TRAINER}::test_slots_equal_separate_runs"
_RESUMED = "tests/experiment/test_resuming.py::test_a_run_goes_on_where_it_was_interrupted_and_again"
_RANKS = "tests/retrieval/test_ranks.py"
_BOOTSTRAP = "tests/retrieval/test_measures.py::test_bootstrap_intervals_are_drawn_anew_with_the_same_seed"
_OPTIMIZER = "tests/training/test_optimizer.py"

# module -> (name, text, text in its place, tests)
_FAULTS: dict[str, list[tuple[str, str, str, str]]] = {
    "pecl/experiment/fleet.py": [
        (
            "validation on the test part",
            'self._evaluate(adapter, index, "val").mean_recall_at_1',
            'self._evaluate(adapter, index, "test").mean_recall_at_1',
            _BY_HAND,
        ),
        (
            "best is what final measured",
            "all(torch.equal(value, ends[slot][name]) for name, value in records[slot].best.items())",
            "True",
            _BY_HAND,
        ),
        ("best weights are never loaded", "adapter.load_slot_state(slot, records[slot].best)", "pass", _BY_HAND),
        (
            "final is measured with the best weights",
            "        ended = [i for i, slot in enumerate(self.slot_of) if not records[slot].diverged]\n",
            "        ended = [i for i, slot in enumerate(self.slot_of) if not records[slot].diverged]\n"
            "        for slot in {self.slot_of[i] for i in ended}:\n"
            "            adapter.load_slot_state(slot, records[slot].best)\n",
            _BY_HAND,
        ),
        (
            "the file holds the final weights",
            "            adapter.load_slot_state(slot, records[slot].best)\n",
            "            final = adapter.slot_state(slot)\n"
            "            adapter.load_slot_state(slot, records[slot].best)\n"
            "            records[slot].best = final\n",
            _BY_HAND,
        ),
        ("every run of a fleet is evaluated with slot 0", "(len(token_ids),), slot)", "(len(token_ids),), 0)", _FLEET),
        (
            "every run of a fleet reports the first record",
            "slot, record = self.slot_of[i], trainer.records[self.slot_of[i]]",
            "slot, record = self.slot_of[i], trainer.records[0]",
            _FLEET,
        ),
        ("dropout is always on", "        config.dropout,\n", "        True,\n", _BY_HAND),
        (
            "the student's anchor is the query",
            "texts = getattr(prepared.train, prepared.anchor)",
            "texts = getattr(prepared.train, prepared.route.query)",
            _METHOD3,
        ),
        ("anchors are never frozen", 'student = config.anchor == "student"', "student = True", _FROZEN),
        (
            "weights of image and alignment are swapped",
            "config.alignments, config.alignment_weight, config.image_weight,",
            "config.alignments, config.image_weight, config.alignment_weight,",
            _BY_HAND,
        ),
    ],
    "pecl/experiment/run.py": [
        ("a file's weights are not loaded", "adapter.load_slot_state(0, file.state)", "pass", _EVALUATED),
    ],
    "pecl/experiment/prepared.py": [
        (
            "training on the column of the test part",
            "tokens_of(self.towers.text, getattr(self.train, self.route.query))",
            "tokens_of(self.towers.text, getattr(self.train, self.route.test_query))",
            _METHOD3,
        ),
        (
            "the frozen anchor is the query",
            'getattr(self.train, require(self.route.anchor, "anchor"))',
            "getattr(self.train, self.route.query)",
            _FROZEN,
        ),
        (
            "the test side ignores test_query",
            "getattr(self.data, self.query(part))",
            "getattr(self.data, self.route.query)",
            _METHOD3,
        ),
        (
            "zero-shot ignores test_query",
            "_frozen_column(self.query(part), ",
            "_frozen_column(self.route.query, ",
            _METHOD3,
        ),
        (
            "validation on the column of the test part",
            'self.route.test_query if part == "test" else self.route.query',
            "self.route.test_query",
            _METHOD3,
        ),
        (
            "the English gallery is made of the target",
            'self._frozen_column("english", shown)',
            'self._frozen_column("target", shown)',
            _ENGLISH,
        ),
        (
            "translated text is ignored",
            'self.data.select(self.parts["train"]) if self.translations is None else',
            'self.data.select(self.parts["train"]) if True else',
            _TRANSLATED,
        ),
        (
            "images of other pairs are trained on",
            'for i in self.parts["train"]]]',
            'for i in self.parts["val"]]]',
            _BY_HAND,
        ),
        (
            "frozen embeddings of other captions",
            "self._frozen(texts)[list(indices)]",
            "self._frozen(texts)[: len(indices)]",
            _BY_HAND,
        ),
        ("the split's seed is ignored", "config.shots, config.split_seed)", "config.shots)", _FROZEN),
        (
            "an evaluation is of the validation part",
            'published_part(data, "test")',
            'published_part(data, "val")',
            _EVALUATED,
        ),
    ],
    "pecl/routes.py": [
        (
            "released baseline1 is tested on the target",
            '"baseline1": "target_to_english"',
            '"baseline1": "target"',
            _COLUMNS,
        ),
        (
            "released method1 is tested on the target",
            '"method1": "target_to_english"',
            '"method1": "target"',
            f"{_COLUMNS}[method1-student-official-run-cross]",
        ),
        (
            "released baseline2 is tested on translations",
            '"baseline2": "target",',
            '"baseline2": "target_to_english",',
            f"{_COLUMNS}[baseline2-student-official-run-cross]",
        ),
        (
            "released method3 is tested on translations",
            '"method3": "target",',
            '"method3": "target_to_english",',
            _METHOD3,
        ),
        (
            "method2 is aligned to English captions",
            '("target", "english_to_target")',
            '("target", "english")',
            f"{_COLUMNS}[method2-frozen-train-side]",
        ),
        (
            "method3 is aligned to the target",
            '"method3": ("target_to_english", "english")',
            '"method3": ("target_to_english", "target")',
            _METHOD3,
        ),
    ],
    "pecl/training/losses.py": [
        (
            "logit_scale is ignored",
            "ContrastiveLoss(self.logit_scale)",
            "ContrastiveLoss()",
            "tests/training/test_losses.py",
        ),
        (
            "alignment_weight is ignored",
            "self.alignment_weight * weight *",
            "weight *",
            "tests/training/test_losses.py",
        ),
    ],
    "pecl/training/trainer.py": [
        (
            "dropout ignores the step",
            'derived_seed(first.seed, "dropout", self.step)',
            'derived_seed(first.seed, "dropout", 0)',
            _DROPOUT,
        ),
        (
            "dropout ignores the seed",
            'derived_seed(first.seed, "dropout", self.step)',
            'derived_seed(0, "dropout", self.step)',
            _DROPOUT,
        ),
        (
            "all slots draw the first one's dropout",
            "first = self.tasks[self.slot_of.index(slot)]",
            "first = self.tasks[0]",
            _FLEET_DROPOUT,
        ),
        (
            "a slot that has left still moves",
            "lrs[slot] * rate * learns[slot]",
            "lrs[slot] * rate",
            f"{_TRAINER}::test_a_slot_that_is_out_of_patience_stops_as_it_stops_alone",
        ),
        (
            "mean loss over a whole interval",
            "self._recent / self._recent_steps",
            "self._recent / self.schedule.eval_every",
            _INTERVALS,
        ),
        ("losses of earlier intervals stay in the sum", "self._recent.zero_()", "pass", _INTERVALS),
        ("ties go to the earlier", "score >= record.best_score", "score > record.best_score", _BEST),
        ("best weights are those of slot 0", "self.adapter.slot_state(slot)", "self.adapter.slot_state(0)", _FLEET),
        (
            "every slot has the first learning rate",
            "self.slot_of, (task.lr for task in self.tasks)",
            "self.slot_of, (self.tasks[0].lr for task in self.tasks)",
            _SLOTS,
        ),
        (
            "every slot has the first order",
            'derived_seed(seed, "order", epoch)',
            'derived_seed(self.tasks[0].seed, "order", epoch)',
            _SLOTS,
        ),
        (
            "a resumed run forgets the losses of its interval",
            '{"recent": self._recent}',
            '{"recent": self._recent.clone()}',
            _RESUMED,
        ),
    ],
    "pecl/retrieval/evaluator.py": [
        (
            "mean recall over @1 alone",
            "for k in RECALL_AT]",
            "for k in RECALL_AT[:1]]",
            "tests/retrieval/test_evaluator.py",
        ),
        (
            "directions are swapped",
            "gallery_first, texts_first = DIRECTIONS",
            "texts_first, gallery_first = DIRECTIONS",
            "tests/retrieval/test_evaluator.py",
        ),
    ],
    "pecl/retrieval/ranks.py": [
        (
            "ties favour the text",
            "similarity >= own[rows]).sum(dim=1) - 1",
            "similarity > own[rows]).sum(dim=1)",
            _RANKS,
        ),
        ("ties favour the item", ">= own[columns]", "> own[columns]", _RANKS),
        ("correct texts count as wrong ones", "at_least & (item_of_row[:, None] != item[columns])", "at_least", _RANKS),
        (
            "the last of equal items is nearest",
            "left.argmax(dim=1,",
            "left.shape[1] - 1 - left.flip(1).argmax(dim=1,",
            _RANKS,
        ),
        ("the whole gallery in one block", "rows = max(block // len(gallery), 1)", "rows = len(texts)", _RANKS),
    ],
    "pecl/retrieval/measures.py": [
        ("bootstrap without a seed", "default_rng(seed)", "default_rng()", _BOOTSTRAP),
        ("bootstrap with one seed for all", "default_rng(seed)", "default_rng(0)", _BOOTSTRAP),
    ],
    "pecl/training/optimizer.py": [
        (
            "a parameter without gradient stays where it is",
            "            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad\n",
            "            if parameter.grad is None:\n                continue\n            grad = parameter.grad\n",
            _OPTIMIZER,
        ),
        ("scales of the learning rate are ignored", "lrs * (scale / correction1)", "lrs / correction1", _OPTIMIZER),
        ("gradients are never forgotten", "parameter.grad = None", "pass", _OPTIMIZER),
    ],
}

MUTANTS = [
    Mutant(name, file, before, after, (test,), science=True)
    for file, faults in _FAULTS.items()
    for name, before, after, test in faults
]

MUTANTS += [
    Mutant(
        "every slot starts from the first seed",
        "pecl/experiment/fleet.py",
        "self.members[self.slot_of.index(slot)].config.seed",
        "self.members[0].config.seed",
        ("tests/experiment/test_whole_runs.py::test_a_fleet_gives_each_run_what_it_gets_alone",),
        science=True,
    ),
    Mutant(
        "a joint score is that of the last language",
        "pecl/experiment/fleet.py",
        "scores.append(sum(own) / len(own))",
        "scores.append(own[-1])",
        (
            "tests/experiment/test_whole_runs.py::test_a_joint_training_is_one_delta_of_the_summed_losses_and_the_mean_of_the_scores",
        ),
        science=True,
    ),
    Mutant(
        "a joint curve is that of the first language",
        "pecl/experiment/fleet.py",
        "scores.append(sum(own) / len(own))",
        "scores.append(own[0])",
        (
            "tests/experiment/test_whole_runs.py::test_a_joint_training_is_one_delta_of_the_summed_losses_and_the_mean_of_the_scores",
        ),
        science=True,
    ),
    Mutant(
        "a start that is not taken",
        "pecl/experiment/run.py",
        "    if config.start is not None:\n        begin",
        "    if config.start is None and config.weights:\n        begin",
        ("tests/experiment/test_distil.py",),
        science=True,
    ),
    Mutant(
        "the other processes keep the parameters that they began with",
        "pecl/training/follow.py",
        "        self.processes.copy_first(self.adapter.parameters())\n",
        "        self.processes.copy_first([one.clone() for one in self.adapter.parameters()])\n",
        ("tests/training/test_distributed.py::test_several_processes_equal_one_on_the_joint_batch",),
        science=True,
    ),
]
