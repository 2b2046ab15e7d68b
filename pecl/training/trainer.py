"""`Trainer`: translation-based alignment of S slots over one frozen tower.

A `SlotRun` holds the pairs, loss, learning rate and seed of a run. A batch holds the rows of all
runs. Each loss uses only the rows of its own run, so no gradient crosses slots. S = 1 is ordinary
training. Several runs, one per language, may share a slot: their losses are summed, which trains
one adapter for all languages (`joint`).

Random draws depend only on seed and step: the order of an epoch comes from (seed, epoch), dropout
from (seed of the slot, step). A killed run therefore resumes at its last saved step and ends with
the same bits, and a run learns the same inside and outside a fleet.
"""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch

from pecl.adapters.adapter import Adapter
from pecl.encoders.dropout import row_seeds, use_row_dropout
from pecl.encoders.memory import to_device
from pecl.errors import ConfigError, not_none
from pecl.files.progress import Bar
from pecl.machine import peak_memory_mb
from pecl.training.callbacks import Callback, Event
from pecl.training.distributed import SINGLE, ProcessGroup
from pecl.training.loss_state import LossState
from pecl.training.losses import Views
from pecl.training.optimizer import Average, SlotAdam
from pecl.training.schedule import Schedule
from pecl.training.share import Share, embed_share
from pecl.training.slot_run import Batch, Rows, RunBatch, SlotRun, derived_seed, random_order
from pecl.training.state import SlotRecord, restore_state, save_state, saved_step

logger = logging.getLogger(__name__)

WITHOUT_PARAMETERS = "adapter: expected one with parameters to train, got one without: evaluate it instead"
_OF_ADAPTER = "adapter."  # prefix of the tensors in a saved state that are the adapter's own
SAVE_EVERY_SECONDS = 2.0  # at least; 20 times the duration of a save if that is longer


class Trainer:
    """Trains the slots of an adapter, and lets fresh slots choose tokens of their texts first.

    Args:
        adapter: the slots, on their tower.
        runs: one run per slot, or several, which then have the same learning rate; all with as many pairs.
        schedule: epochs, batch size, validation cadence, dropout.
        validate: returns the validation scores of slots, higher is better; NaN for diverged weights.
        optimizer: updates the adapter's parameters; Adam by default.
        state_path: file for the state of the unfinished training, or None to keep none.
        processes: the processes that share each batch; this is rank 0.
        callbacks: called at the moments of the training, see `Callback`.
    """

    def __init__(
        self,
        adapter: Adapter,
        runs: Sequence[SlotRun],
        schedule: Schedule,
        validate: Callable[[Sequence[int]], Sequence[float]],
        *,
        optimizer: SlotAdam | None = None,
        state_path: str | Path | None = None,
        processes: ProcessGroup = SINGLE,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        sizes = [len(run.pairs) for run in runs]
        if {run.slot for run in runs} != set(range(adapter.num_slots)) or len(set(sizes)) != 1:
            raise ConfigError(f"expected one size for the {adapter.num_slots} slots, got {sizes} pairs", field="runs")
        if not adapter.parameters():
            raise ConfigError(WITHOUT_PARAMETERS)

        self.tower = adapter.tower
        self.adapter = adapter
        self.runs = list(runs)
        self.schedule = schedule
        self.validate = validate
        self.state_path = None if state_path is None else Path(state_path)
        self.processes = processes
        self.callbacks = list(callbacks)

        for slot in range(adapter.num_slots):
            first, *others = self.runs_of(slot)
            for run in others:
                run.record = first.record
                run.loss = first.loss
            adapter.choose(slot, [texts for run in (first, *others) for texts in run.vocabulary_texts])

        use_row_dropout(self.tower, self.tower.dropout_seeds)

        self.optimizer = optimizer or SlotAdam(adapter.parameters(), list(adapter.learning_rate_scales().values()))
        losses = [self.first_run(slot).loss for slot in range(adapter.num_slots)]
        self.loss_state = LossState(losses, self.tower.device)
        self.average: Average | None = None
        self.total_steps = schedule.steps(sizes[0])
        if adapter.steps is not None:
            adapter.steps.begin(self.total_steps)
        self.step = 0
        # step of the state on disk, from which the run resumes even if it is interrupted before `run` restores it
        self.saved_step = 0 if self.state_path is None else saved_step(self.state_path)
        self.seconds = 0.0
        # caches those of one epoch
        self._order = lru_cache(len({run.seed for run in runs}))(random_order)
        # (S,) sum of losses since the last validation, on the tower's device; read only at validations
        self._recent = torch.zeros(adapter.num_slots, device=self.tower.device)
        self._recent_steps = 0

    @property
    def is_saved(self) -> bool:
        """Whether a saved state exists."""
        return self.state_path is not None and self.state_path.exists()

    @property
    def records(self) -> list[SlotRecord]:
        """The record of each slot."""
        return [self.first_run(slot).record for slot in range(self.adapter.num_slots)]

    def runs_of(self, slot: int) -> list[SlotRun]:
        """Return the runs of a slot."""
        return [run for run in self.runs if run.slot == slot]

    def first_run(self, slot: int) -> SlotRun:
        """Return the first run of a slot: its seed is that of the slot, and all runs of a slot have one rate."""
        return next(run for run in self.runs if run.slot == slot)

    def run(self) -> list[SlotRecord]:
        """Train to the end, from the saved state if there is one, and return one record per slot.

        A slot is dropped when its loss or validation score is not finite, when it is out of
        patience, or when a callback stops or prunes it. The other slots are not affected.
        """
        if self.schedule.ema:
            self.average = Average(self.adapter.parameters(), self.schedule.ema)

        if self.is_saved:
            self._restore()

        self._call("at_start", {slot: {} for slot in self._learning_slots()})

        started = time.monotonic() - self.seconds
        saved = time.monotonic()
        pause = SAVE_EVERY_SECONDS

        with Bar(total=self.total_steps, initial=self.step, desc="train", unit="step", leave=False) as bar:
            while self.step < self.total_steps and self._learning_slots():
                losses = self.train_step()
                self._note(losses)
                self.seconds = time.monotonic() - started

                is_last = self.step == self.total_steps
                if self.step % self.schedule.eval_every == 0 or is_last:
                    self._validate()
                    bar.set_postfix(self._postfix())

                self.seconds = time.monotonic() - started
                if time.monotonic() - saved > pause or is_last:
                    begun = time.monotonic()
                    self._save()
                    saved = time.monotonic()
                    pause = SAVE_EVERY_SECONDS * max(1.0, 10 * (saved - begun))

                bar.update()

        if self.saved_step < self.step:  # all slots stopped before the last step
            self._save()
        if self.average is not None:
            self.average.fill()
        return self.records

    def train_step(self) -> torch.Tensor:
        """Take one step and return the loss of every slot, (S,), on the tower's device."""
        learns = [record.learns for record in self.records]
        losses = self.losses(self.batch(self.step))

        self.optimizer.zero_grad()
        self.loss_state.zero_grad()
        steps = self.adapter.steps
        penalty = 0.0 if steps is None else steps.penalty()
        (losses.sum() + penalty).backward()
        self.processes.sum_gradients(self.adapter.parameters())

        rates = torch.tensor([self.learning_rate(slot) for slot in range(len(learns))])
        self.optimizer.step(rates, self.step + 1)
        self.loss_state.step(rates, self.step + 1)
        if steps is not None:
            steps.after_step(self.step)
        if self.average is not None:
            self.average.update(learns)
        if self.average is not None and steps is not None:
            names = [name for name, _ in self.adapter.named_parameters()]
            steps.prune_average(dict(zip(names, self.average.values, strict=True)))

        self.step += 1
        return losses.detach()

    def learning_rate(self, slot: int) -> float:
        """Return the learning rate of a slot in the next step; 0 if it has stopped."""
        run = self.first_run(slot)
        return run.lr * self.schedule.rate(self.step, self.total_steps) * run.record.learns

    def batch(self, step: int) -> Batch:
        """Return the rows of `step`, counted from 0, of the runs that learn."""
        return Batch([self._rows_of(run, step) for run in self.runs if run.record.learns])

    def _rows_of(self, run: SlotRun, step: int) -> RunBatch:
        size = self.schedule.batch_size
        epoch, number = divmod(step, math.ceil(len(run.pairs) / size))
        order = self._order(len(run.pairs), run.seed, "order", epoch)
        pairs = order[number * size : (number + 1) * size].tolist()
        photographs = [] if run.photographs is None else run.photographs.batch(step, size, run.seed)
        return RunBatch(run, pairs, photographs)

    def losses(self, batch: Batch) -> torch.Tensor:
        """Return the loss (S,) of every slot on a batch, with the dropout of the current step."""
        parts = batch.split(self._embed(batch.token_ids, batch.slots))  # (R, D) -> (b, D) by run and column
        losses = [part.run.loss(self._views(part, student)) for part, student in zip(batch.runs, parts, strict=True)]

        slots = to_device(torch.tensor([part.run.slot for part in batch.runs]), self.tower.device)
        by_run = torch.stack(losses)  # (number of runs,)
        return by_run.new_zeros(self.adapter.num_slots).index_add(0, slots, by_run)  # (S,)

    def _views(self, part: RunBatch, student: Mapping[str, torch.Tensor]) -> Views:
        """Return the embeddings of a run's rows, those of the frozen towers on the tower's device."""
        dtype = next(iter(student.values())).dtype

        def rows_of(rows: Rows, indices: Sequence[int]) -> dict[str, torch.Tensor]:
            return {
                name: to_device(embeddings[indices].to(dtype), self.tower.device)
                for name, embeddings in rows.embeddings.items()
            }

        teacher = rows_of(part.run.pairs, part.pairs)
        if part.run.photographs is not None:
            teacher |= rows_of(part.run.photographs, part.photographs)
        return Views(student, {**teacher, **part.run.memory})

    def _embed(self, token_ids: list[list[int]], slots: list[int]) -> torch.Tensor:
        """Return the embeddings (R, D) of the rows of a batch; several processes embed a share each."""
        # for modules that do not draw per row
        seed = self.runs[0].seed + 1_000_003 * (self.step + 1)
        share = Share(token_ids, slots, self._row_seeds(slots).tolist(), seed, self.schedule.dropout)
        if self.processes.size > 1:
            self.processes.send({"do": "embed", "share": vars(share)})
            self.processes.copy_first([tensor for _, tensor in self.adapter.named_tensors()])

        rows_here = self.processes.share(len(token_ids))
        return self.processes.gather(embed_share(self.tower, share, rows_here), len(token_ids))

    def _row_seeds(self, slots: Sequence[int]) -> np.ndarray:
        """Return the dropout seeds (R,) of rows, each from its slot, the step, and its number within the slot."""
        seeds = np.empty(len(slots), np.uint64)
        of_rows = np.asarray(slots)
        for slot in dict.fromkeys(slots):
            is_of_slot = of_rows == slot
            seed = derived_seed(self.first_run(slot).seed, "dropout", self.step)
            seeds[is_of_slot] = row_seeds(seed, int(is_of_slot.sum()))
        return seeds

    def _note(self, losses: torch.Tensor) -> None:
        """Add the losses (S,) of the step that was taken, and call the callbacks."""
        if losses.device.type == "cpu":  # reading from another device would wait for it
            self._leave_diverged(losses.tolist())

        self._recent += losses
        self._recent_steps += 1

        if self.callbacks:
            values = losses.tolist()
            slots = self._learning_slots()
            self._call("after_step", {slot: {"loss": values[slot], "lr": self._last_rate(slot)} for slot in slots})

    def _validate(self) -> None:
        mean_losses = (self._recent / self._recent_steps).tolist()
        self._leave_diverged(mean_losses)
        self._recent.zero_()
        self._recent_steps = 0

        slots = self._learning_slots()
        for slot in slots:
            self.records[slot].losses.append((self.step, mean_losses[slot]))

        self._measure_now(slots)

        for slot in self._learning_slots():
            record = self.records[slot]
            if record.validations_since_best() >= (self.schedule.patience or math.inf):
                record.stopped = self.step

        peak_memory = peak_memory_mb(self.tower.device)
        metrics = {
            slot: {
                "loss": mean_losses[slot],
                "validation_recall": self.records[slot].scores[-1][1],
                "lr": self._last_rate(slot),
                "seconds": self.seconds,
                "peak_memory_mb": peak_memory,
            }
            for slot in slots
            if not self.records[slot].diverged
        }
        self._call("after_validation", metrics)
        for callback in self.callbacks:
            # A run that patience or a callback has just stopped no longer competes
            compared = {slot: metrics[slot] if record.learns else {} for slot, record in enumerate(self.records)}
            callback.after_fleet_validation(self._events(compared, callback))

    def measure(self, step: int, slots: Sequence[int] | None = None) -> None:
        """Score the weights of `slots` as those of `step`; keep each slot's best.

        By default these are all slots that have neither diverged nor been pruned.
        """
        if slots is None:
            slots = [slot for slot, record in enumerate(self.records) if record.is_measured]

        for slot, score in zip(slots, self.validate(slots), strict=True):
            record = self.records[slot]
            if math.isnan(score):
                self._leave(slot, "the embeddings contain NaN")
                continue
            record.scores.append((step, score))
            # of equal scores, the later one is best
            if score >= record.best_score or self.schedule.last:
                record.best_step = step
                record.best_score = score
                record.best = self.adapter.slot_state(slot)

    def _measure_now(self, slots: Sequence[int]) -> None:
        """Score what the training would end with after this step: the averaged weights, if it keeps an average."""
        with contextlib.nullcontext() if self.average is None else self.average.in_place():
            self.measure(self.step, slots)

    def _learning_slots(self) -> list[int]:
        """Return the slots that take part in the next step."""
        return [slot for slot, record in enumerate(self.records) if record.learns]

    def _last_rate(self, slot: int) -> float:
        """Return the learning rate of a slot in the step that was taken last."""
        return self.first_run(slot).lr * self.schedule.rate(self.step - 1, self.total_steps)

    def _leave_diverged(self, losses: Sequence[float]) -> None:
        """Drop slots whose loss is not finite."""
        for slot in self._learning_slots():
            if not math.isfinite(losses[slot]):
                self._leave(slot, f"the loss is {losses[slot]}")

    def _leave(self, slot: int, reason: str) -> None:
        """Drop a slot that diverged."""
        record = self.records[slot]
        lr = self.first_run(slot).lr
        record.stopped = self.step
        record.diverged = f"training diverged by step {self.step}: {reason}; choose a smaller learning rate than {lr:g}"
        logger.warning("slot %d: %s", slot, record.diverged)

    def _call(self, moment: str, metrics: Mapping[int, Mapping[str, float]]) -> None:
        """Call a method of all callbacks for each run whose slot has metrics."""
        for callback in self.callbacks:
            for event in self._events(metrics, callback):
                getattr(callback, moment)(event)

    def _events(self, metrics: Mapping[int, Mapping[str, float]], callback: Callback) -> list[Event]:
        """Return an event for each run whose slot has metrics; its functions stop the slot for this callback."""
        events = []
        for run in self.runs:
            if run.slot in metrics:
                config = not_none(run.config, "config")
                stop = partial(self._stop, run.slot, callback)
                prune = partial(self._stop, run.slot, callback, is_pruned=True)
                events.append(Event(config, run.slot, self.step, self.total_steps, metrics[run.slot], stop, prune))
        return events

    def _stop(self, slot: int, callback: Callback, is_pruned: bool = False) -> None:
        """Stop a slot at a callback's request. Its weights are measured unless they were measured after this step."""
        record = self.records[slot]
        if not record.learns:
            return
        if not record.scores or record.scores[-1][0] != self.step:
            self._measure_now([slot])
        record.stopped = self.step
        record.pruned = is_pruned
        if self.step < self.total_steps:
            record.stopped_by = type(callback).__name__

    def _postfix(self) -> dict[str, str]:
        """Return the mean loss and score of the slots that a validation has measured, for the progress bar."""
        records = [record for record in self.records if record.losses and record.scores and not record.diverged]
        if not records:
            return {}
        loss = sum(record.losses[-1][1] for record in records) / len(records)
        score = sum(record.scores[-1][1] for record in records) / len(records)
        return {"loss": f"{loss:.4f}", "val_recall": f"{score:.3f}"}

    def _save(self) -> None:
        """Save the state, and once more if a callback then stops a slot: a resumed run must not train it on."""
        if self.state_path is None:
            return

        learning = self._learning_slots()
        self._write_state(self.state_path)
        self._call("after_save", {slot: {} for slot in range(len(self.records))})
        if self._learning_slots() != learning:
            self._write_state(self.state_path)

    def _write_state(self, path: Path) -> None:
        progress = {
            "runs": [run.config.run_id() for run in self.runs if run.config is not None],
            "step": self.step,
            "seconds": self.seconds,
            "recent_steps": self._recent_steps,
        }
        changed = {} if self.adapter.steps is None else self.adapter.steps.progress()
        of_adapter = {f"{_OF_ADAPTER}{name}": tensor for name, tensor in changed.items()}
        save_state(path, self._state_tensors() | of_adapter | self.loss_state.tensors(), self.records, progress)
        self.saved_step = self.step

    def _restore(self) -> None:
        """Continue from the saved state."""
        assert self.state_path is not None
        records, progress = restore_state(self.state_path, self._state_tensors())
        for run in self.runs:
            run.record = records[run.slot]
        rest = progress["rest"]
        self.loss_state.restore(rest)
        if self.adapter.steps is not None:
            of_adapter = {name: tensor for name, tensor in rest.items() if name.startswith(_OF_ADAPTER)}
            self.adapter.steps.resume({name.removeprefix(_OF_ADAPTER): of_adapter[name] for name in of_adapter})
        self.step = progress["step"]
        self.seconds = progress["seconds"]
        self._recent_steps = progress["recent_steps"]

    def _state_tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors that a step changes, by name."""
        tensors = {f"parameter.{name}": tensor for name, tensor in self.adapter.named_tensors()}
        tensors["recent"] = self._recent
        tensors |= self.optimizer.state_tensors()
        if self.average is not None:
            tensors |= self.average.state_tensors()
        return tensors
