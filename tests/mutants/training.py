"""Faults of training and retrieval: losses, solvers, seeds, steps, ranks and bootstrap."""

from mutants.table import rows

MUTANTS = [
    *rows(
        "pecl/retrieval/evaluator.py",
        "retrieval/test_evaluator",
        ("mean recall only over @1", "for k in RECALL_AT]", "for k in RECALL_AT[:1]]"),
        (
            "directions are swapped",
            "gallery_first, texts_first = DIRECTIONS",
            "texts_first, gallery_first = DIRECTIONS",
        ),
    ),
    *rows(
        "pecl/retrieval/measures.py",
        "retrieval/test_measures::test_bootstrap_intervals_are_drawn_anew_with_the_same_seed",
        ("bootstrap without a seed", "default_rng(seed)", "default_rng()"),
        ("bootstrap with one seed for all", "default_rng(seed)", "default_rng(0)"),
    ),
    *rows(
        "pecl/retrieval/ranks.py",
        "retrieval/test_ranks",
        ("ties favour the text", "similarity >= own[rows]).sum(dim=1) - 1", "similarity > own[rows]).sum(dim=1)"),
        ("ties favour the item", ">= own[columns]", "> own[columns]"),
        ("correct texts count as wrong ones", "at_least & (item_of_row[:, None] != item[columns])", "at_least"),
        ("the last of equal items is nearest", "left.argmax(dim=1,", "left.shape[1] - 1 - left.flip(1).argmax(dim=1,"),
        ("the whole gallery in one block", "rows = max(block // len(gallery), 1)", "rows = len(texts)"),
    ),
    *rows(
        "pecl/training/closed_form.py",
        "training/test_closed_form",
        (
            "a solution that is shrunk towards zero",
            "residual = xy - xx @ prior.weight.double().T",
            "residual = xy - 0 * xx @ prior.weight.double().T",
        ),
        ("a ridge with the unit of the features", "metric = xx + ridge * scale *", "metric = xx + ridge *"),
        (
            "a low rank that is nearest in its weights",
            "change = metric.T @ (found",
            "change = torch.eye(len(metric), dtype=metric.dtype) @ (found",
        ),
        ("the worst ridge is chosen", "return min(sorted(", "return max(sorted("),
    ),
    *rows(
        "pecl/training/distributed.py",
        "training/test_distributed::test_the_gradient_is_that_of_the_whole_batch",
        ("gradients of the processes are averaged", "dist.reduce(flat, 0)", "dist.reduce(flat.div_(self.size), 0)"),
        (
            "every process encodes the rows of the first",
            "range(self.rank, rows, self.size)",
            "range(0, rows, self.size)",
        ),
        ("gathered rows lie by process", "torch.stack(parts, dim=1)", "torch.stack(parts)"),
        (
            "a process takes the gradient of the first one's rows",
            "padded[rank :: self.size].contiguous()",
            "padded[0 :: self.size].contiguous()",
        ),
    ),
    *rows(
        "pecl/training/follow.py",
        "training/test_distributed::test_several_processes_equal_one_on_the_joint_batch",
        (
            "the other processes keep the parameters that they began with",
            "        self.processes.copy_first(self.adapter.parameters())\n",
            "        self.processes.copy_first([one.clone() for one in self.adapter.parameters()])\n",
        ),
    ),
    *rows(
        "pecl/training/losses.py",
        "training/test_losses",
        ("logit_scale is ignored", "ContrastiveLoss(self.logit_scale)", "ContrastiveLoss()"),
        ("alignment_weight is ignored", "self.alignment_weight * weight *", "weight *"),
        (
            "alignments without their weights",
            "self.alignment_weight * weight * self._aligned",
            "self.alignment_weight * self._aligned",
        ),
    ),
    *rows(
        "pecl/training/optimizer.py",
        "training/test_optimizer",
        (
            "a parameter without gradient stays where it is",
            "            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad\n",
            ("            if parameter.grad is None:\n                continue\n            grad = parameter.grad\n"),
        ),
        ("scales of the learning rate are ignored", "lrs * (scale / correction1)", "lrs / correction1"),
        ("gradients are never forgotten", "parameter.grad = None", "pass"),
    ),
    *rows(
        "pecl/training/schedule.py",
        "training/test_schedule",
        ("a warm-up that begins at zero", "(step + 1) / self.warmup", "step / self.warmup"),
    ),
    *rows(
        "pecl/training/schedule.py",
        "experiment/test_resuming",
        (
            "best score not restored",
            'self.best_step, self.best_score, self.best = kept["best_step"], kept["best_score"], best',
            'self.best_step, self.best = kept["best_step"], best',
        ),
    ),
    *rows(
        "pecl/training/state.py",
        "experiment/test_resuming",
        ("best weights of slot 0 restored for all", 'prefix = f"best.{slot}."', 'prefix = "best.0."'),
    ),
    *rows(
        "pecl/training/task.py",
        "training/test_trainer",
        (
            "photographs in the same order again and again",
            'derived_seed(seed, "photographs", epoch)',
            'derived_seed(seed, "photographs", 0)',
        ),
    ),
    *rows(
        "pecl/training/trainer.py",
        "training/test_trainer::test_dropout_is_drawn_from_the_seed_and_the_step_alone",
        (
            "dropout ignores the step",
            'derived_seed(first.seed, "dropout", self.step)',
            'derived_seed(first.seed, "dropout", 0)',
        ),
        (
            "dropout ignores the seed",
            'derived_seed(first.seed, "dropout", self.step)',
            'derived_seed(0, "dropout", self.step)',
        ),
    ),
    *rows(
        "pecl/training/trainer.py",
        "training/test_trainer::test_a_fleet_learns_what_its_runs_learn_alone_with_dropout",
        (
            "all slots draw the first one's dropout",
            "first = self.tasks[self.slot_of.index(slot)]",
            "first = self.tasks[0]",
        ),
    ),
    *rows(
        "pecl/training/trainer.py",
        "training/test_trainer::test_a_slot_that_is_out_of_patience_stops_as_it_stops_alone",
        ("a slot that has left still moves", "lrs[slot] * rate * learns[slot]", "lrs[slot] * rate"),
    ),
    *rows(
        "pecl/training/trainer.py",
        "training/test_trainer::test_a_loss_of_the_curve_is_the_mean_over_its_own_interval",
        (
            "mean loss over a whole interval",
            "self._recent / self._recent_steps",
            "self._recent / self.schedule.eval_every",
        ),
        ("losses of earlier intervals stay in the sum", "self._recent.zero_()", "pass"),
    ),
    *rows(
        "pecl/training/trainer.py",
        "training/test_schedule::test_training_ends_when_patience_does",
        ("ties go to the earlier", "score >= record.best_score", "score > record.best_score"),
    ),
    *rows(
        "pecl/training/trainer.py",
        "experiment/test_whole_runs::test_a_fleet_gives_each_run_what_it_gets_alone",
        ("best weights are those of slot 0", "self.adapter.slot_state(slot)", "self.adapter.slot_state(0)"),
    ),
    *rows(
        "pecl/training/trainer.py",
        "training/test_trainer::test_slots_equal_separate_runs",
        (
            "every slot has the first learning rate",
            "self.slot_of, (task.lr for task in self.tasks)",
            "self.slot_of, (self.tasks[0].lr for task in self.tasks)",
        ),
        (
            "every slot has the first order",
            'derived_seed(seed, "order", epoch)',
            'derived_seed(self.tasks[0].seed, "order", epoch)',
        ),
    ),
    *rows(
        "pecl/training/trainer.py",
        "experiment/test_resuming::test_a_run_goes_on_where_it_was_interrupted_and_again",
        (
            "a resumed run forgets the losses of its interval",
            '{"recent": self._recent}',
            '{"recent": self._recent.clone()}',
        ),
    ),
    *rows(
        "pecl/training/trainer.py",
        "training/test_schedule",
        (
            "an average that begins again when it is resumed",
            '("average", self.average.values if self.average else ()),',
            '("average", [value.clone() for value in self.average.values] if self.average else ()),',
        ),
        (
            "the weights of the last step in place of the average",
            "        if self.average is not None:\n            self.average.fill()",
            "        if self.average is not None:\n            pass",
        ),
    ),
    *rows(
        "pecl/training/trainer.py",
        "training/test_distributed::test_several_processes_equal_one_on_the_joint_batch",
        (
            "each process steps by its own gradient",
            "        self.processes.sum_gradients(self.adapter.parameters())\n",
            "",
        ),
    ),
    *rows(
        "pecl/training/trainer.py",
        "experiment/test_resuming",
        (
            "steps since the last validation not restored",
            'self.seconds, self._recent_steps = progress["seconds"], progress["recent_steps"]',
            'self.seconds = progress["seconds"]',
        ),
        (
            "Adam's steps not restored",
            "self.step = self.saved_step = self.optimizer.steps = ",
            "self.step = self.saved_step = ",
        ),
        (
            "Adam's squares not restored",
            '("exp_avg_sq", self.optimizer.exp_avg_sq),',
            '("exp_avg_sq", [square.clone() for square in self.optimizer.exp_avg_sq]),',
        ),
    ),
]
