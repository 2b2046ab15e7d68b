"""Measure the members of a fleet: recall of the base encoder, of the final and of the best weights."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from pecl.adapters.adapter import Adapter
from pecl.encoders.batches import TokenIds
from pecl.experiment.fleet import Member
from pecl.results.result import OTHER_TEXT, Result
from pecl.retrieval.evaluator import Evaluation
from pecl.training.state import SlotRecord

# by part (val, test) and stage (zero_shot, final, best)
Measurements = Mapping[str, Mapping[str, Evaluation]]


def measure(
    adapter: Adapter,
    members: Sequence[Member],
    records: Sequence[SlotRecord],
) -> list[Measurements | None]:
    """Return each run's measurements by part and stage; None if it diverged or was pruned.

    `other_text` has no stage `final`.

    Afterwards the slots hold their best weights.
    """
    trained = [number for number, member in enumerate(members) if records[member.slot].is_measured]

    # The final weights of all runs, before any slot is changed
    finals: dict[tuple[int, str], Evaluation] = {}
    for number in trained:
        for part in members[number].frozen.checks:
            if part != OTHER_TEXT:
                finals[number, part] = evaluate_part(adapter, members[number], part)

    # The best weights
    final_states = [adapter.slot_state(slot) for slot in range(len(records))]
    for slot in {members[number].slot for number in trained}:
        adapter.load_slot_state(slot, records[slot].best)

    measurements: list[Measurements | None] = [None] * len(members)
    for number in trained:
        member = members[number]
        best_state = records[member.slot].best
        is_final = all(torch.equal(value, final_states[member.slot][name]) for name, value in best_state.items())
        measurements[number] = {
            part: _stages(adapter, member, part, finals.get((number, part)), is_final) for part in member.frozen.checks
        }

    return measurements


def _stages(
    adapter: Adapter, member: Member, part: str, final: Evaluation | None, is_final: bool
) -> dict[str, Evaluation]:
    """Return the measurements of a part by stage; `is_final` states that the best weights are the final ones."""
    stages = {"zero_shot": member.frozen.checks[part].plain}
    if final is not None:
        stages["final"] = final
    stages["best"] = final if is_final and final is not None else evaluate_part(adapter, member, part)
    return stages


def evaluate_part(adapter: Adapter, member: Member, part: str) -> Evaluation:
    """Return the measurement of a part with the present weights of a run's slot."""
    check = member.frozen.checks[part]
    return check.evaluator(embed_queries(adapter, member.slot, check.token_ids))


def embed_queries(adapter: Adapter, slot: int, token_ids: TokenIds) -> torch.Tensor:
    """Return the embeddings (N, D) of texts with one slot of an adapter."""
    return adapter.tower.encode_token_ids(token_ids, slots=torch.full((len(token_ids),), slot))


def size_of(tower: nn.Module) -> int:
    """Return the number of parameters of a base encoder."""
    return sum(parameter.numel() for parameter in tower.parameters())


def recalls_of(result: Result) -> dict[str, float]:
    """Return all recalls of a result by their path, such as `test/best/text_to_image/recall@1`."""
    recalls: dict[str, float] = {}
    for part, stages in result.metrics.items():
        for stage, measured in stages.items():
            recalls[f"{part}/{stage}/mean_recall@1"] = measured.mean_recall_at_1
            for direction, metrics in measured.directions.items():
                recalls |= {f"{part}/{stage}/{direction}/recall@{k}": recall for k, recall in metrics.recall.items()}
    return recalls
