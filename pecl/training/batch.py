"""`TrainingBatch`: the texts of one step, of all tasks; each block is the texts of one column of one task."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pecl.training.task import SlotTask

# columns; captions are those of a task's `image_task`
QUERY = "query"
ANCHOR = "anchor"
CAPTIONS = "captions"


@dataclass(frozen=True)
class Block:
    """The texts of one column of one task in a batch."""

    task: int  # number of the task
    column: str  # QUERY, ANCHOR or CAPTIONS
    pairs: Sequence[int]  # number of each text in its column


@dataclass(frozen=True)
class TrainingBatch:
    """The texts of one step, one row per text, in the order of their blocks."""

    token_ids: list[list[int]]  # of R rows
    slots: list[int]  # of R rows
    blocks: list[Block]

    def split(self, embeddings: torch.Tensor) -> dict[tuple[int, str], torch.Tensor]:
        """Return the rows (b, D) of `embeddings` (R, D) of each block, by task and column."""
        parts = embeddings.split([len(block.pairs) for block in self.blocks])
        return {(block.task, block.column): part for block, part in zip(self.blocks, parts, strict=True)}


def make_batch(
    tasks: Sequence[SlotTask],
    slot_of: Sequence[int],
    pairs: Sequence[tuple[int, Sequence[int]]],
    step: int,
    size: int,
) -> TrainingBatch:
    """Return the batch of a step.

    Args:
        tasks: all tasks.
        slot_of: the slot of each task.
        pairs: the tasks that take part, each with the numbers of its pairs.
        step: the step, counted from 0, which determines the captions of an `image_task`.
        size: captions of an `image_task` in a batch.
    """
    token_ids: list[list[int]] = []
    slots: list[int] = []
    blocks: list[Block] = []

    for number, chosen in pairs:
        task = tasks[number]
        columns = [(QUERY, task.query, chosen)]
        if task.anchor_texts is not None:
            columns.append((ANCHOR, task.anchor_texts, chosen))

        if task.image_task is not None:
            columns.append((CAPTIONS, task.image_task.captions, task.image_task.batch(step, size, task.seed)))

        for name, texts, numbers in columns:
            token_ids += [texts[i] for i in numbers]
            slots += [slot_of[number]] * len(numbers)
            blocks.append(Block(number, name, numbers))

    return TrainingBatch(token_ids, slots, blocks)
