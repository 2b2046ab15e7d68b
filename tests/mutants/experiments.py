"""Faults of experiments: splits, columns, routes, slots and scores."""

from mutants.table import rows

_BY_HAND = (
    "experiment/test_whole_runs::test_a_run_whose_best_step_is_not_its_last_reports_the_numbers_of_the_same_run_by_hand"
)
_COLUMNS = "experiment/test_whole_runs::test_every_route_trains_validates_and_tests_on_its_own_columns"
_JOINT = (
    "experiment/test_whole_runs::test_a_joint_training_is_one_delta_of_the_summed_losses_and_the_mean_of_the_scores"
)

MUTANTS = [
    *rows(
        "pecl/experiment/fleet.py",
        _BY_HAND,
        (
            "validation on the test part",
            'self._evaluate(adapter, index, "val").mean_recall_at_1',
            'self._evaluate(adapter, index, "test").mean_recall_at_1',
        ),
        (
            "best is what final measured",
            "all(torch.equal(value, ends[slot][name]) for name, value in records[slot].best.items())",
            "True",
        ),
        ("best weights are never loaded", "adapter.load_slot_state(slot, records[slot].best)", "pass"),
        (
            "final is measured with the best weights",
            "        ended = [i for i, slot in enumerate(self.slot_of) if not records[slot].diverged]\n",
            (
                "        ended = [i for i, slot in enumerate(self.slot_of) if not records[slot].diverged]\n"
                "        for slot in {self.slot_of[i] for i in ended}:\n"
                "            adapter.load_slot_state(slot, records[slot].best)\n"
            ),
        ),
        (
            "the file holds the final weights",
            "            adapter.load_slot_state(slot, records[slot].best)\n",
            (
                "            final = adapter.slot_state(slot)\n"
                "            adapter.load_slot_state(slot, records[slot].best)\n"
                "            records[slot].best = final\n"
            ),
        ),
        ("dropout is always on", "        config.dropout,\n", "        True,\n"),
        (
            "weights of image and alignment are swapped",
            "config.alignments, config.alignment_weight, config.image_weight,",
            "config.alignments, config.image_weight, config.alignment_weight,",
        ),
    ),
    *rows(
        "pecl/experiment/fleet.py",
        "experiment/test_whole_runs::test_a_fleet_gives_each_run_what_it_gets_alone",
        ("every run of a fleet is evaluated with slot 0", "(len(token_ids),), slot)", "(len(token_ids),), 0)"),
        (
            "every run of a fleet reports the first record",
            "slot, record = self.slot_of[i], trainer.records[self.slot_of[i]]",
            "slot, record = self.slot_of[i], trainer.records[0]",
        ),
        (
            "every slot starts from the first seed",
            "self.members[self.slot_of.index(slot)].config.seed",
            "self.members[0].config.seed",
        ),
    ),
    *rows(
        "pecl/experiment/fleet.py",
        f"{_COLUMNS}[method3-student-official-run-cross]",
        (
            "the student's anchor is the query",
            "texts = getattr(prepared.train, prepared.anchor)",
            "texts = getattr(prepared.train, prepared.route.query)",
        ),
    ),
    *rows(
        "pecl/experiment/fleet.py",
        f"{_COLUMNS}[method1-frozen-train-side]",
        ("anchors are never frozen", 'student = config.anchor == "student"', "student = True"),
    ),
    *rows(
        "pecl/experiment/fleet.py",
        _JOINT,
        ("a joint score is that of the last language", "scores.append(sum(own) / len(own))", "scores.append(own[-1])"),
        ("a joint curve is that of the first language", "scores.append(sum(own) / len(own))", "scores.append(own[0])"),
    ),
    *rows(
        "pecl/experiment/fleet.py",
        "experiment/test_distil",
        (
            "photographs of the validation part",
            'getattr(prepared.data.select(prepared.parts["train"]), prepared.route.query)',
            'getattr(prepared.data.select(prepared.parts["val"]), prepared.route.query)',
        ),
        (
            "the recall of the final weights as that of the best",
            "is_final = all(torch.equal(value, ends[slot][name]) for name, value in records[slot].best.items())",
            "is_final = records[slot].best_step == records[slot].scores[-1][0] or not ends",
        ),
    ),
    *rows(
        "pecl/experiment/inputs.py",
        "experiment/test_identity",
        (
            "train_size ignored",
            "first = text if config.train_size is None else text.select(range(min(config.train_size, len(text))))",
            "first = text",
        ),
    ),
    *rows(
        "pecl/experiment/prepared.py",
        f"{_COLUMNS}[method3-student-official-run-cross]",
        (
            "training on the column of the test part",
            "tokens_of(self.towers.text, getattr(self.train, self.route.query))",
            "tokens_of(self.towers.text, getattr(self.train, self.route.test_query))",
        ),
        (
            "the test side ignores test_query",
            "getattr(self.data, self.query(part))",
            "getattr(self.data, self.route.query)",
        ),
        ("zero-shot ignores test_query", "_frozen_column(self.query(part), ", "_frozen_column(self.route.query, "),
        (
            "validation on the column of the test part",
            'self.route.test_query if part == "test" else self.route.query',
            "self.route.test_query",
        ),
    ),
    *rows(
        "pecl/experiment/prepared.py",
        f"{_COLUMNS}[method1-frozen-train-side]",
        (
            "the frozen anchor is the query",
            "frozen_embeddings(self.towers.text, getattr(self.train, column),",
            "frozen_embeddings(self.towers.text, getattr(self.train, self.route.query),",
        ),
        ("the split's seed is ignored", "config.shots, config.split_seed)", "config.shots)"),
    ),
    *rows(
        "pecl/experiment/prepared.py",
        "experiment/test_whole_runs::test_text_alone_is_aligned_by_the_same_columns_and_finds_english_captions",
        (
            "the English gallery is made of the target",
            'self._frozen_column("english", shown)',
            'self._frozen_column("target", shown)',
        ),
    ),
    *rows(
        "pecl/experiment/prepared.py",
        "experiment/test_whole_runs::test_translated_text_takes_the_place_of_the_training_pairs_alone",
        (
            "translated text is ignored",
            'self.data.select(self.parts["train"]) if self.translations is None else',
            'self.data.select(self.parts["train"]) if True else',
        ),
    ),
    *rows(
        "pecl/experiment/prepared.py",
        _BY_HAND,
        ("images of other pairs are trained on", 'for i in self.parts["train"]]]', 'for i in self.parts["val"]]]'),
        (
            "frozen embeddings of other captions",
            "self._frozen(texts)[list(indices)]",
            "self._frozen(texts)[: len(indices)]",
        ),
    ),
    *rows(
        "pecl/experiment/prepared.py",
        "experiment/test_whole_runs::test_evaluation_of_the_file_gives_the_recall_that_the_training_reported",
        ("an evaluation is of the validation part", 'published_part(data, "test")', 'published_part(data, "val")'),
    ),
    *rows(
        "pecl/experiment/prepared.py",
        "experiment/test_distil",
        (
            "chosen by what is trained on",
            'return not_none(self.translations.held_out, "held_out")',
            "return self.translations.train",
        ),
    ),
    *rows(
        "pecl/experiment/prepared.py",
        "experiment/test_prepared",
        (
            "the training images of the test part",
            'self.images[[image_index[i] for i in self.parts["train"]]]',
            'self.images[[image_index[i] for i in self.parts["test"]]][: len(self.parts["train"])]',
        ),
        (
            "the training images in the data's order",
            'for i in self.parts["train"]]]',
            'for i in sorted(self.parts["train"])]]',
        ),
        (
            "frozen columns of the first captions",
            "return self._frozen(texts)[list(indices)]",
            "return self._frozen(texts)[: len(indices)]",
        ),
        ("gallery of all images", "return list(dict.fromkeys(self.items(part)))", "return list(range(len(self.data)))"),
    ),
    *rows(
        "pecl/experiment/run.py",
        "experiment/test_whole_runs::test_evaluation_of_the_file_gives_the_recall_that_the_training_reported",
        ("a file's weights are not loaded", "adapter.load_slot_state(0, file.state)", "pass"),
    ),
    *rows(
        "pecl/experiment/run.py",
        "experiment/test_distil",
        (
            "a start that is not taken",
            "    if config.start is not None:\n        begin",
            "    if config.start is None and config.weights:\n        begin",
        ),
    ),
    *rows(
        "pecl/experiment/text.py",
        "experiment/test_text",
        ("pairs of the test part are not refused", 'if found and overlap == "refuse":', "if False:"),
        ("a pair repeats another by its target", 'text_key(target + b"\\xff" + english)', "text_key(target)"),
        ("a pair repeats another by its English", 'text_key(target + b"\\xff" + english)', "text_key(english)"),
        ("sides of a pair run together", 'text_key(target + b"\\xff" + english)', "text_key(target + english)"),
        ("overlap by the same letters only", "any(normal_form(side) in tested", "any(side in tested"),
        ("overlap with the English column only", "(test.english, test.target,", "(test.english, None,"),
        (
            "translations of what is held out are trained on",
            "is_held_out = np.isin(keys[order], chosen)",
            "is_held_out = np.isin(order, order[is_first[order]][:count])",
        ),
        ("a caption with a large weight is held out more often", "order[is_first[order]][:count]", "order[:count]"),
    ),
    *rows(
        "pecl/config/routes.py",
        _COLUMNS,
        ("released baseline1 is tested on the target", '"baseline1": "target_to_english"', '"baseline1": "target"'),
    ),
    *rows(
        "pecl/config/routes.py",
        f"{_COLUMNS}[method1-student-official-run-cross]",
        ("released method1 is tested on the target", '"method1": "target_to_english"', '"method1": "target"'),
    ),
    *rows(
        "pecl/config/routes.py",
        f"{_COLUMNS}[baseline2-student-official-run-cross]",
        ("released baseline2 is tested on translations", '"baseline2": "target",', '"baseline2": "target_to_english",'),
    ),
    *rows(
        "pecl/config/routes.py",
        f"{_COLUMNS}[method3-student-official-run-cross]",
        ("released method3 is tested on translations", '"method3": "target",', '"method3": "target_to_english",'),
        (
            "method3 is aligned to the target",
            '"method3": ("target_to_english", "english")',
            '"method3": ("target_to_english", "target")',
        ),
    ),
    *rows(
        "pecl/config/routes.py",
        f"{_COLUMNS}[method2-frozen-train-side]",
        ("method2 is aligned to English captions", '("target", "english_to_target")', '("target", "english")'),
    ),
]
