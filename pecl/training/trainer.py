"""`Trainer`: translation-based alignment of S slots over one frozen tower.

A *task* holds the pairs, objective, learning rate and seed of a slot. A batch holds the query and anchor rows of all
tasks. Each loss uses only the rows of its own task, so no gradient crosses slots. S = 1 is ordinary training. Several
tasks, one per language, may share a slot: their losses are summed (the release's `preliminary` arm).

Random draws depend only on seed and step: the order of an epoch comes from (seed, epoch), dropout from (seed of the
slot, step). A killed run therefore resumes at its last saved step and ends with the same bits, and a run learns the
same inside and outside a fleet.
"""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from pecl.adapters.adapter import Adapter
from pecl.encoders.batches import TokenIds
from pecl.encoders.dropout import row_seeds, use_row_dropout
from pecl.encoders.embeddings import Embeddings
from pecl.encoders.memory import to_device
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, DivergedError
from pecl.files.progress import Bar
from pecl.training.distributed import SINGLE, ProcessGroup
from pecl.training.optimizer import Average, Schedule, SlotAdam
from pecl.training.state import SlotRecord, restore_state, save_state
from pecl.training.task import Share, SlotTask, derived_seed, embed_share, random_order

logger = logging.getLogger(__name__)

SAVE_EVERY_SECONDS = 2.0  # at least; 20 times the duration of a save if that is longer


class Trainer:
    """Trains the slots of an adapter, and lets fresh slots choose tokens of their texts first.

    Args:
        tower: the text tower that `adapter` is attached to.
        adapter: the slots, one per task unless `slot_of` is given.
        tasks: pairs and objectives; all of one size.
        schedule: epochs, batch size, validation cadence, dropout.
        validate: returns the validation scores of slots, higher is better; NaN for diverged weights.
        state_path: file for the state of the unfinished training, or None to keep none.
        slot_of: the slot of each task; tasks of one slot have the same learning rate.
        processes: the processes that share each batch; this is rank 0.
    """

    def __init__(
        self,
        tower: MultilingualTextEncoder,
        adapter: Adapter,
        tasks: Sequence[SlotTask],
        schedule: Schedule,
        validate: Callable[[Sequence[int]], Sequence[float]],
        state_path: str | Path | None = None,
        slot_of: Sequence[int] | None = None,
        processes: ProcessGroup = SINGLE,
    ) -> None:
        self.slot_of = list(range(len(tasks)) if slot_of is None else slot_of)
        if set(self.slot_of) != set(range(adapter.num_slots)) or len({len(task) for task in tasks}) != 1:
            sizes = [len(task) for task in tasks]
            raise ConfigError(f"tasks: expected one size for the {adapter.num_slots} slots, got {sizes} pairs")
        self.tower, self.adapter, self.tasks, self.schedule = tower, adapter, list(tasks), schedule
        for slot in range(adapter.num_slots):
            members = [task for task, own in zip(tasks, self.slot_of, strict=True) if own == slot]
            adapter.choose(slot, [texts for task in members for texts in task.own])
        use_row_dropout(tower, tower.dropout_seeds)
        self.validate, self.processes = validate, processes
        self.state_path = None if state_path is None else Path(state_path)
        if not adapter.parameters():
            raise ConfigError("adapter: expected one with parameters to train, got one without: evaluate it instead")
        self.optimizer = SlotAdam(adapter.parameters(), list(adapter.learning_rate_scales().values()))
        self.records = [SlotRecord() for _ in range(adapter.num_slots)]
        self.average: Average | None = None
        self.total_steps = schedule.steps(len(tasks[0]))
        self.step = 0
        self.saved_step = 0  # step of the state on disk
        self.seconds = 0.0
        self._order = lru_cache(len({task.seed for task in tasks}))(random_order)  # caches those of one epoch
        # (S,) sum of losses since the last validation, on the tower's device; read only at validations
        self._recent = torch.zeros(adapter.num_slots, device=tower.device)
        self._recent_steps = 0

    @property
    def is_saved(self) -> bool:
        """Whether a saved state exists."""
        return self.state_path is not None and self.state_path.exists()

    def run(self) -> list[SlotRecord]:
        """Train to the end, from the saved state if there is one, and return one record per slot.

        A slot is dropped when its loss or validation score is not finite, or when it is out of patience. The other
        slots are not affected.

        Raises:
            DivergedError: the only slot diverged.
        """
        if self.schedule.ema:
            self.average = Average(self.adapter.parameters(), self.schedule.ema)
        if self.state_path and self.is_saved:
            self.records, progress = restore_state(self.state_path, self._tensors())
            self.step = self.saved_step = self.optimizer.steps = progress["step"]
            self.seconds, self._recent_steps = progress["seconds"], progress["recent_steps"]
        started = saved = time.monotonic()
        before, pause = self.seconds, SAVE_EVERY_SECONDS
        with Bar(total=self.total_steps, initial=self.step, desc="train", unit="step", leave=False) as bar:
            while self.step < self.total_steps and any(record.learns for record in self.records):
                losses = self.train_step()
                if losses.device.type == "cpu":  # reading from another device would wait for it
                    self._leave_diverged(losses.tolist())
                self._recent += losses
                self._recent_steps += 1
                if self.step % self.schedule.eval_every == 0 or self.step == self.total_steps:
                    self._validate()
                    bar.set_postfix(self._postfix())
                self.seconds = before + time.monotonic() - started
                if time.monotonic() - saved > pause or self.step == self.total_steps:
                    begun = time.monotonic()
                    self._save()
                    saved = time.monotonic()
                    pause = SAVE_EVERY_SECONDS * max(1.0, 10 * (saved - begun))
                bar.update()
        if self.average is not None:
            self.average.fill()
        return self.records

    def train_step(self) -> torch.Tensor:
        """Take one step and return the loss of every slot, (S,), on the tower's device."""
        losses = self.losses(self.batch_indices(self.step))
        self.optimizer.zero_grad()
        losses.sum().backward()
        self.processes.sum_gradients(self.adapter.parameters())
        rate = self.schedule.rate(self.step, self.total_steps)
        lrs = dict(zip(self.slot_of, (task.lr for task in self.tasks), strict=True))  # slot -> its tasks' own
        learns = [record.learns for record in self.records]
        self.optimizer.step(torch.tensor([lrs[slot] * rate * learns[slot] for slot in range(len(lrs))]))
        if self.average is not None:
            self.average.update(learns)
        self.step += 1
        return losses.detach()

    def batch_indices(self, step: int) -> list[list[int]]:
        """Return, for every task, the pairs of `step` (counted from 0)."""
        n, size = len(self.tasks[0]), self.schedule.batch_size
        epoch, number = divmod(step, math.ceil(n / size))
        orders = (self._order(n, task.seed, "order", epoch) for task in self.tasks)
        return [order[number * size : (number + 1) * size].tolist() for order in orders]

    def losses(self, indices: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return the loss (S,) of every slot on the given pairs of its tasks, with the dropout of the current step."""
        rows, slots, batches = list[list[int]](), list[int](), list[list[Sequence[int]]]()
        learning = [i for i, slot in enumerate(self.slot_of) if self.records[slot].learns]
        for i in learning:
            task, size = self.tasks[i], self.schedule.batch_size
            columns: list[tuple[TokenIds, Sequence[int]]] = [(column, indices[i]) for column in task.texts]
            if task.image_task is not None:
                columns.append((task.image_task.captions, task.image_task.batch(self.step, size, task.seed)))
            for column, chosen in columns:
                rows += [column[pair] for pair in chosen]
                slots += [self.slot_of[i]] * len(chosen)
            batches.append([chosen for _, chosen in columns])
        seed = self.tasks[0].seed + 1_000_003 * (self.step + 1)  # for modules that do not draw per row
        share = Share(rows, slots, self._row_seeds(slots).tolist(), seed, self.schedule.dropout)
        if self.processes.size > 1:
            self.processes.send({"do": "embed", "share": vars(share)})
            self.processes.copy_first([one for _, one in self.adapter.named_tensors()])
        own = embed_share(self.tower, share, self.processes.share(len(rows)))
        embeddings = self.processes.gather(own, len(rows))  # (R, D): the whole batch
        parts = iter(embeddings.split([len(chosen) for batch in batches for chosen in batch]))
        tasks = zip([self.tasks[i] for i in learning], batches, strict=True)
        of_tasks = torch.stack([self._task_loss(task, batch, parts) for task, batch in tasks])  # (T,)
        slots_of_tasks = to_device(torch.tensor([self.slot_of[i] for i in learning]), self.tower.device)
        return of_tasks.new_zeros(len(self.records)).index_add(0, slots_of_tasks, of_tasks)  # (S,)

    def _row_seeds(self, slots: Sequence[int]) -> np.ndarray:
        """Return the dropout seeds (B,) of rows, each from its slot, the step, and its number within the slot."""
        seeds = np.empty(len(slots), np.uint64)
        of_rows = np.asarray(slots)
        for slot in dict.fromkeys(slots):
            first = self.tasks[self.slot_of.index(slot)]
            own = of_rows == slot
            seeds[own] = row_seeds(derived_seed(first.seed, "dropout", self.step), int(own.sum()))
        return seeds

    def _task_loss(self, task: SlotTask, batch: list[Sequence[int]], parts: Iterator[torch.Tensor]) -> torch.Tensor:
        """Return the loss of a task: `batch` has the indices of its texts by column, `parts` yields their (b, D)."""
        query, images, chosen, captions = next(parts), task.images, batch[0], None
        if task.anchor is None or isinstance(task.anchor, torch.Tensor | Embeddings):
            anchor = self._rows(task.anchor, chosen, query.dtype)
        else:
            anchor = next(parts)
        if task.image_task is not None:
            images, chosen, captions = task.image_task.images, batch[-1], next(parts)
        return task.objective(query, anchor, self._rows(images, chosen, query.dtype), captions)

    def _rows(
        self, embeddings: torch.Tensor | Embeddings | None, chosen: Sequence[int], dtype: torch.dtype
    ) -> torch.Tensor | None:
        """Return rows (b, D) of frozen embeddings on the tower's device."""
        return None if embeddings is None else to_device(embeddings[chosen].to(dtype), self.tower.device)

    def _validate(self) -> None:
        mean_losses = (self._recent / self._recent_steps).tolist()
        self._leave_diverged(mean_losses)
        self._recent.zero_()
        self._recent_steps = 0
        for record, loss in zip(self.records, mean_losses, strict=True):
            if record.learns:
                record.losses.append((self.step, loss))
        with contextlib.nullcontext() if self.average is None else self.average.in_place():
            self.measure(self.step, [slot for slot, record in enumerate(self.records) if record.learns])
        for record in self.records:
            _, top = max(((score, step) for step, score in record.scores), default=(0, 0))
            worse = sum(step > top for step, _ in record.scores)  # validations since the best score
            if record.learns and worse >= (self.schedule.patience or math.inf):
                record.stopped = self.step

    def measure(self, step: int, slots: Sequence[int] | None = None) -> None:
        """Score the weights of `slots` (None: all that have not diverged) as those of `step`; keep each slot's best."""
        if slots is None:
            slots = [slot for slot, record in enumerate(self.records) if not record.diverged]
        for slot, score in zip(slots, self.validate(slots), strict=True):
            record = self.records[slot]
            if math.isnan(score):
                self._leave(slot, "the embeddings are no longer numbers")
                continue
            record.scores.append((step, score))
            if score >= record.best_score or self.schedule.last:  # of equal scores, the later one is best
                record.best_step, record.best_score = step, score
                record.best = self.adapter.slot_state(slot)

    def _leave_diverged(self, losses: Sequence[float]) -> None:
        """Drop slots whose loss is not finite."""
        for slot, loss in enumerate(losses):
            if self.records[slot].learns and not math.isfinite(loss):
                self._leave(slot, f"the loss is {loss}")

    def _leave(self, slot: int, reason: str) -> None:
        record, lr = self.records[slot], self.tasks[self.slot_of.index(slot)].lr
        record.stopped = self.step
        record.diverged = f"training diverged by step {self.step}: {reason}; choose a smaller learning rate than {lr:g}"
        if len(self.records) == 1:
            raise DivergedError(record.diverged)
        logger.warning("slot %d: %s", slot, record.diverged)

    def _postfix(self) -> dict[str, str]:
        kept = [record for record in self.records if not record.diverged]
        if not kept:
            return {}
        loss = sum(record.losses[-1][1] for record in kept) / len(kept)
        score = sum(record.scores[-1][1] for record in kept) / len(kept)
        return {"loss": f"{loss:.4f}", "val_recall": f"{score:.3f}"}

    def _save(self) -> None:
        if self.state_path is not None:
            progress = {"step": self.step, "seconds": self.seconds, "recent_steps": self._recent_steps}
            save_state(self.state_path, self._tensors(), self.records, progress)
            self.saved_step = self.step

    def _tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors that a step changes, by name."""
        tensors = {f"parameter.{name}": one for name, one in self.adapter.named_tensors()} | {"recent": self._recent}
        average = self.average.values if self.average else []
        lists = {"exp_avg": self.optimizer.exp_avg, "exp_avg_sq": self.optimizer.exp_avg_sq, "average": average}
        return tensors | {f"{name}.{i}": value for name, values in lists.items() for i, value in enumerate(values)}
