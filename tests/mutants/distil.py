"""Faults of distillation: what is trained on, held out, solved, averaged and reported."""

from mutants.table import Mutant

_TEXT = "tests/experiment/test_text.py"
_SOLVED = "tests/training/test_closed_form.py"
_SCHEDULE = "tests/training/test_schedule.py"
_DISTIL = "tests/experiment/test_distil.py"
_CANDIDATES = "tests/report/tables/test_candidates.py"

# file -> (name, before, after, test)
_FAULTS = {
    "pecl/experiment/text.py": [
        ("pairs of the test part are not refused", 'if found and overlap == "refuse":', "if False:", _TEXT),
        ("a pair repeats another by its target", 'key_of(target + b"\\xff" + english)', "key_of(target)", _TEXT),
        ("a pair repeats another by its English", 'key_of(target + b"\\xff" + english)', "key_of(english)", _TEXT),
        ("sides of a pair run together", 'key_of(target + b"\\xff" + english)', "key_of(target + english)", _TEXT),
        ("overlap by the same letters alone", "any(normal_form(side) in tested", "any(side in tested", _TEXT),
        ("overlap with the English column alone", "(test.english, test.target,", "(test.english, None,", _TEXT),
        (
            "translations of what is held out are trained on",
            "is_held_out = np.isin(keys[order], chosen)",
            "is_held_out = np.isin(order, order[is_first[order]][:count])",
            _TEXT,
        ),
        (
            "a caption with a large weight is held out more often",
            "order[is_first[order]][:count]",
            "order[:count]",
            _TEXT,
        ),
    ],
    "pecl/training/closed_form.py": [
        (
            "a solution that is shrunk towards zero",
            "residual = xy - xx @ prior.weight.double().T",
            "residual = xy - 0 * xx @ prior.weight.double().T",
            _SOLVED,
        ),
        (
            "a ridge with the unit of the features",
            "metric = xx + ridge * scale *",
            "metric = xx + ridge *",
            _SOLVED,
        ),
        (
            "a low rank that is nearest in its weights",
            "change = metric.T @ (found",
            "change = torch.eye(len(metric), dtype=metric.dtype) @ (found",
            _SOLVED,
        ),
        ("the worst ridge is chosen", "return min(sorted(", "return max(sorted(", _SOLVED),
    ],
    "pecl/training/trainer.py": [
        (
            "an average that begins anew when it is resumed",
            '("average", self.average.values if self.average else ()),',
            '("average", [value.clone() for value in self.average.values] if self.average else ()),',
            _SCHEDULE,
        ),
        (
            "the weights of the last step in place of the average",
            "        if self.average is not None:\n            self.average.fill()",
            "        if self.average is not None:\n            pass",
            _SCHEDULE,
        ),
    ],
    "pecl/training/schedule.py": [
        ("a warm-up that begins at zero", "(step + 1) / self.warmup", "step / self.warmup", _SCHEDULE),
    ],
    "pecl/training/losses.py": [
        (
            "alignments without their weights",
            "self.alignment_weight * weight * self._aligned",
            "self.alignment_weight * self._aligned",
            "tests/training/test_losses.py",
        ),
    ],
    "pecl/experiment/prepared.py": [
        (
            "chosen by what is trained on",
            'return require(self.translations.held_out, "held_out")',
            "return self.translations.train",
            _DISTIL,
        ),
    ],
    "pecl/report/tables/candidates.py": [
        (
            "trainings with and without photographs in one row",
            'return *fields, ("photographs", _photographs(result))',
            "return tuple(fields)",
            _CANDIDATES,
        ),
    ],
    "pecl/training/task.py": [
        (
            "photographs in the same order again and again",
            'derived_seed(seed, "photographs", epoch)',
            'derived_seed(seed, "photographs", 0)',
            "tests/training/test_trainer.py",
        ),
    ],
    "pecl/experiment/fleet.py": [
        (
            "photographs of the validation part",
            'getattr(prepared.data.select(prepared.parts["train"]), prepared.route.query)',
            'getattr(prepared.data.select(prepared.parts["val"]), prepared.route.query)',
            _DISTIL,
        ),
        (
            "the recall of the final weights as that of the best",
            "is_final = all(torch.equal(value, ends[slot][name]) for name, value in records[slot].best.items())",
            "is_final = records[slot].best_step == records[slot].scores[-1][0] or not ends",
            _DISTIL,
        ),
    ],
}

MUTANTS = [
    Mutant(name, file, before, after, (test,), science=True)
    for file, faults in _FAULTS.items()
    for name, before, after, test in faults
]
