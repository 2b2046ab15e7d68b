"""Recall against minutes: distillation by pecl and by sentence-transformers, from the same tower, pairs and anchors.

    python benchmarks/rivals.py                                  Czech, 757 pairs, 900 photographs (PECL_DATA_DIR)
    python benchmarks/rivals.py --language fr --json rivals.json

sentence-transformers trains with `MSELoss`, its loss for multilingual models: all parameters of the
exported tower, or PEFT's LoRA of about pecl's number of parameters. All trainings have the same
pairs and English embeddings, whose time is not counted. One learning rate each was tried; for all
parameters it is that of the full fine-tuning in docs/results.md. The rate rises over a tenth of the
steps and falls along half a cosine.

The trainings alternate, pass by pass, so a slow phase of the machine slows all of them. The clock
stops after each pass, and the captions of the test photographs are embedded. Times are CPU seconds
on one thread.
"""

import argparse
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from figures import now
from peft import LoraConfig, inject_adapter_in_model
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MSELoss

from pecl.adapters.adapter import attach
from pecl.adapters.spec import parse_adapter
from pecl.apps.export.sentence_transformers import export_towers
from pecl.config import DISTIL_DEFAULTS, make_config, read_yaml
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import load_towers
from pecl.experiment.closed_form import HeadSolver
from pecl.experiment.fleet import Member
from pecl.experiment.frozen import embed_anchors, freeze_training
from pecl.experiment.inputs import read_training
from pecl.files import write_json
from pecl.training.distributed import use_threads
from pecl.training.losses import Objective, RouteLoss
from pecl.training.schedule import Schedule
from pecl.training.slot_run import Rows, SlotRun
from pecl.training.state import SlotRecord
from pecl.training.trainer import Trainer

LORA = LoraConfig(r=10, lora_alpha=20, target_modules=["query", "value"])  # 184,320 parameters
RATES = {"all": 3e-4, "lora": 3e-3}  # peaks
HEAD = "head:rank=96"
BATCH = 32  # of sentence-transformers
RECIPE = Path(__file__).parents[1] / "configs" / "distil_mini_layers.yaml"


class Way:
    """A way to train, with its seconds and the recall after each pass.

    Args:
        name: its description.
        passes: trains one pass each time that it is advanced.
        embed: texts -> embeddings (n, D) by the current weights.
        parameters: number of trained parameters.
    """

    def __init__(
        self,
        name: str,
        passes: Iterator[None],
        embed: Callable[[Sequence[str]], torch.Tensor],
        parameters: int,
    ) -> None:
        self.name = name
        self.passes = passes
        self.embed = embed
        self.parameters = parameters
        self.seconds = 0.0
        # (seconds, mean of R@1, 5 and 10 of both directions)
        self.points: list[tuple[float, float]] = []

    def train_pass(self) -> bool:
        """Train a pass on the clock; return whether there was one left."""
        start = now()
        left = next(self.passes, self) is not self
        self.seconds += now() - start
        return left


def distil_way(member: Member, tower: MultilingualTextEncoder) -> Way:
    """Return the training of `configs/distil_mini_layers.yaml`; solving the head at the end counts as a pass."""
    config = member.config
    adapter = attach(tower, parse_adapter(config.adapter))
    objective = Objective(config.losses, config.alignment_weight, config.image_weight)
    pairs = Rows.of_route(member.inputs.train_tokens, member.frozen.anchors)
    run = SlotRun(pairs, RouteLoss(objective), config.lr, config.seed)
    schedule = Schedule(config.epochs, config.batch_size, config.eval_every, dropout=False, warmup=config.warmup)
    trainer = Trainer(adapter, [run], schedule, lambda _: [0.0])

    def passes() -> Iterator[None]:
        for _ in range(config.epochs):
            for _ in range(trainer.total_steps // config.epochs):
                trainer.train_step()
            yield
        HeadSolver(adapter, [member]).solve([SlotRecord()])
        yield

    return Way("pecl distil", passes(), _plain(tower), adapter.num_parameters())


def head_way(member: Member, tower: MultilingualTextEncoder) -> Way:
    """Return the quickest training: only a head, in closed form."""
    adapter = attach(tower, parse_adapter(HEAD))

    def passes() -> Iterator[None]:
        HeadSolver(adapter, [member]).solve([SlotRecord()])
        yield

    return Way("pecl distil, only a head", passes(), _plain(tower), adapter.num_parameters())


def _plain(tower: MultilingualTextEncoder) -> Callable[[Sequence[str]], torch.Tensor]:
    return lambda texts: tower.encode_text(texts, normalize=False)


def sentence_transformers_way(
    member: Member,
    folder: Path,
    kind: str,
    rate: float,
    epochs: int,
) -> Way:
    """Return a training of sentence-transformers: of `all` parameters, or of PEFT's `lora`."""
    model = SentenceTransformer(str(folder), device="cpu")
    model.requires_grad_(kind == "all")
    if kind == "lora":
        inject_adapter_in_model(LORA, model)

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    loss = MSELoss(model)
    texts = getattr(member.inputs.train, member.inputs.route.query)
    anchors = embed_anchors(member.inputs)
    steps = epochs * math.ceil(len(texts) / BATCH)
    optimizer = torch.optim.AdamW(parameters, rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))

    def passes() -> Iterator[None]:
        for epoch in range(epochs):
            model.train()
            order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(epoch)).tolist()
            for start in range(0, len(texts), BATCH):
                chosen = order[start : start + BATCH]
                features = model.preprocess([texts[i] for i in chosen])
                optimizer.zero_grad()
                loss([features], anchors[chosen]).backward()
                optimizer.step()
                schedule.step()

            yield

    def embed(texts: Sequence[str]) -> torch.Tensor:
        return model.encode(list(texts), convert_to_tensor=True, show_progress_bar=False)

    name = f"sentence-transformers, {'all parameters' if kind == 'all' else 'LoRA of PEFT'}"

    return Way(name, passes(), embed, sum(parameter.numel() for parameter in parameters))


def _rate(step: int, steps: int) -> float:
    warm_up = max(1, steps // 10)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm_up) / (steps - warm_up))


def compare(language: str, dataset: str, rates: dict[str, float], epochs: int) -> dict[str, Any]:
    """Train all ways in alternation and return their recall over time."""
    given = {**read_yaml(RECIPE), "language": language, "dataset": dataset, "gallery": "images"}
    config = make_config({**DISTIL_DEFAULTS, **given, "allow_missing_images": True})
    towers = load_towers(config.profile, precision=config.precision)
    inputs = read_training(config, towers)
    # the time for frozen embeddings is not counted
    member = Member(inputs, freeze_training(inputs), 0)
    texts = inputs.texts("test")
    check = member.frozen.checks["test"]
    evaluator = check.evaluator
    before = check.plain.mean_recall
    with tempfile.TemporaryDirectory() as folder:
        exported = export_towers(load_towers(config.profile).text, None, Path(folder) / "tower")
        ways = [sentence_transformers_way(member, exported, kind, rate, epochs) for kind, rate in rates.items()]

    ways += [distil_way(member, towers.text)]
    ways += [head_way(member, load_towers(config.profile, precision=config.precision).text)]
    for way in ways:
        way.points.append((0.0, before))

    running = list(ways)
    while running:
        running = [way for way in running if way.train_pass()]
        for way in running:
            with torch.inference_mode():
                way.points.append((round(way.seconds, 2), evaluator(way.embed(texts)).mean_recall))
            print(f"{way.name:40} {way.seconds:6.0f} s  mean recall {way.points[-1][1]:.3f}", flush=True)

    return {
        "language": config.language,
        "pairs": len(inputs.train),
        "test captions": len(texts),
        "precision of pecl": str(towers.text.precision),
        "rates of sentence-transformers": rates,
        "ways": [{"name": way.name, "parameters": way.parameters, "points": way.points} for way in ways],
    }


def main() -> None:
    """Compare, and print or write the recall over time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language", default="cs")
    parser.add_argument("--dataset", default="multi30k-1k", help="photographs of the test (default: multi30k-1k)")
    parser.add_argument("--epochs", type=int, default=8, help="passes of sentence-transformers (default: 8)")
    for name, rate in RATES.items():
        parser.add_argument(f"--rate-{name}", type=float, default=rate, help=f"peak learning rate (default: {rate:g})")

    parser.add_argument("--json", type=Path, help="file for the result")
    parsed = parser.parse_args()
    rates = {name: getattr(parsed, f"rate_{name}") for name in RATES}
    with use_threads(1):
        result = compare(parsed.language, parsed.dataset, rates, parsed.epochs)

    if parsed.json:
        write_json(parsed.json, result)


if __name__ == "__main__":
    main()
