"""The flags of the commands that train and measure: train, distil, evaluate and grid."""

from helpers.flags.fields import rows_of_fields, rows_of_forms
from helpers.flags.table import STOP, Row, Table
from helpers.report_results import evaluate, train
from pecl.adapters.choice import AdapterChoice
from pecl.config import make_config
from pecl.grid import GridOutcome
from pecl.grid.launchers.worker import Inline
from pecl.results.command import EVALUATE_FLAGS

TRAINED, EVALUATED = train(4, 6), evaluate(9, language="en")
CONFIG = make_config({})
PLAIN = CONFIG, AdapterChoice(None, "none")
RECALL = {"language": "de"} | {
    f"{name}@{k}": 0.5 for name in ("recall", "corrected recall", "low", "high") for k in (1, 5, 10)
}
SEPARATION = {"language": "de", "images": 4, "present": 2, "absent": 2, "area": 0.5}

TRAIN = Table(
    "train",
    {"train_fleet": [TRAINED], "plan_runs": STOP},
    together=rows_of_fields("train_fleet.configs.0"),
    rows=[
        *rows_of_forms("train_fleet.configs.0"),
        ("--engine opendelta", "train_fleet.configs.0.engine", "opendelta"),
        ("--config flags.yaml", "train_fleet.configs.0.seed", 31),
        ("--dry-run", "plan_runs.configs.0.language", "de"),
        ("--json", "output.document.run_id", TRAINED.run_id),
    ],
)


def _as_typed(row: Row) -> Row:
    """Return the row of a field whose text is parsed later."""
    typed, arrives, value = row
    return typed, arrives, value if isinstance(value, bool) else typed.split()[1]


DISTIL = Table(
    "distil",
    {"distil_config": CONFIG, "run_together": [TRAINED], "plan_runs": STOP},
    together=[_as_typed(row) for row in rows_of_fields("distil_config.given")],
    rows=[
        *rows_of_forms("distil_config.given"),
        ("--engine opendelta", "distil_config.given.engine", "opendelta"),
        ("--config flags.yaml", "distil_config.given.seed", 31),
        ("--images", "distil_config.images", True),
        ("--dry-run", "plan_runs.configs.0.language", "de"),
        ("--json", "output.document.run_id", TRAINED.run_id),
    ],
)

EVALUATE = Table(
    "evaluate",
    {
        "pecl.commands.evaluate.evaluate": EVALUATED,
        "pecl.commands.evaluate.with_adapter": PLAIN,
        "pecl.commands.evaluate.check_evaluation": PLAIN,
        "pecl.commands.evaluate.check_corrections": None,
        "pecl.commands.evaluate.corrected_recall": RECALL,
        "evaluate_with": [SEPARATION],
    },
    together=rows_of_fields("with_adapter.config", EVALUATE_FLAGS),
    rows=[
        *rows_of_forms("with_adapter.config", EVALUATE_FLAGS),
        ("--config flags.yaml", "with_adapter.config.route", "baseline1"),
        ("--adapter mini:cs", "with_adapter.config.weights", "mini:cs"),
        ("--embeddings images.parquet", "with_adapter.config.image_embeddings", "images.parquet"),
        ("--all-pairs", "with_adapter.config.all_pairs", True),
        ("--harness mteb", "evaluate_with.harness", "mteb"),
        ("--correct-hubs", "corrected_recall.config.language", "de"),
        ("--dry-run", "check_evaluation.config.language", "de"),
        ("--json", "output.document.0.run_id", EVALUATED.run_id),
    ],
)

GRID = Table(
    "grid",
    {"run_grid": GridOutcome([TRAINED]), "plan_grid": [], "collect": [TRAINED], "make_launcher": Inline()},
    together=rows_of_fields("run_grid.configs.0"),
    rows=[
        *rows_of_forms("run_grid.configs.0"),
        ("--engine opendelta", "run_grid.configs.0.engine", "opendelta"),
        ("--config flags.yaml", "run_grid.configs.0.seed", 31),
        ("--seeds 5,6", "run_grid.configs.1.seed", 6),
        ("--best-of trained", "collect.folders.0", "trained"),
        ("--fleet 3", "run_grid.fleet", "3"),
        ("--fleet 3 --dry-run", "plan_grid.fleet", "3"),
        ("--halving 3", "run_grid.halving", 3),
        ("--halving 4 --dry-run", "plan_grid.halving", 4),
        ("--launcher process", "make_launcher.name", "process"),
        ("--jobs 3", "make_launcher.jobs", 3),
        ("--devices cuda:0,cuda:2", "make_launcher.devices", ["cuda:0", "cuda:2"]),
        ("--devices cuda:0,cuda:2", "run_grid.configs.0.device", "cuda"),
        ("--launcher slurm --slurm partition=gpu --slurm time=9", "make_launcher.options", ["partition=gpu", "time=9"]),
        ("--launcher ray --ray num_gpus=0.5", "make_launcher.options", ["num_gpus=0.5"]),
        ("--json", "output.document.0.run_id", TRAINED.run_id),
    ],
)
