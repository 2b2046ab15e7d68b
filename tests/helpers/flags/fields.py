"""A flag for each field of `ExperimentConfig`, with a value that is not its default."""

from collections.abc import Collection

from helpers.flags.table import Row

# Field -> its flag as typed, and the value in a config; they can all be typed in one line
FIELDS = {
    "profile": ("--profile paper", "paper"),
    "text_model": ("--text-model mini-pooled", "mini-pooled"),
    "image_model": ("--image-model towers/image", "towers/image"),
    "dataset": ("--dataset xtd10", "xtd10"),
    "data_dir": ("--data-dir elsewhere", "elsewhere"),
    "split": ("--split test_2017_flickr", "test_2017_flickr"),
    "allow_missing_images": ("--allow-missing-images", True),
    "skip_unreadable": ("--skip-unreadable", True),
    "allow_copied_translations": ("--allow-copied-translations", True),
    "language": ("--language cs", "cs"),
    "joint": ("--joint cs+fr", "cs+fr"),
    "route": ("--route baseline2", "baseline2"),
    "recipe": ("--recipe relations", "relations"),
    "test_query": ("--test-query official-run-cross", "official-run-cross"),
    "train_on": ("--train-on sib200", "sib200"),
    "train_size": ("--train-size 77", 77),
    "text": ("--text more.tsv", "more.tsv"),
    "mixed": ("--mixed multi30k", "multi30k"),
    "memory": ("--memory multi30k", "multi30k"),
    "clean": ("--clean", True),
    "overlap": ("--overlap drop", "drop"),
    "held_out": ("--held-out 78", 78),
    "adapter": ("--adapter bottleneck", "bottleneck"),
    "rank": ("--rank 3", 3),
    "adapter_layers": ("--adapter-layers top-3", "top-3"),
    "alignment": ("--alignment mse+match:0.1", "mse+match:0.1"),
    "alignment_weight": ("--alignment-weight 0.25", 0.25),
    "image_weight": ("--image-weight 0.75", 0.75),
    "anchor": ("--anchor frozen", "frozen"),
    "lr": ("--lr 0.007", 0.007),
    "solver": ("--solver closed-form+gradient", "closed-form+gradient"),
    "start": ("--start lexicon", "lexicon"),
    "warmup": ("--warmup 4", 4),
    "ema": ("--ema 0.9", 0.9),
    "choose": ("--choose last", "last"),
    "patience": ("--patience 6", 6),
    "shots": ("--shots 11", 11),
    "epochs": ("--epochs 12", 12),
    "batch_size": ("--batch-size 13", 13),
    "eval_every": ("--eval-every 14", 14),
    "dropout": ("--no-dropout", False),
    "seed": ("--seed 15", 15),
    "split_seed": ("--split-seed 16", 16),
    "gallery": ("--gallery english", "english"),
    "device": ("--device cuda:1", "cuda:1"),
    "precision": ("--precision bf16", "bf16"),
    "threads": ("--threads 2", 2),
    "out": ("--out folder", "folder"),
    "report_to": ("--report-to csv,tensorboard", "csv,tensorboard"),
}
# Switches of two forms: the form that is the default overrides the other one
FORMS = {
    "allow_missing_images": ("--allow-missing-images --no-allow-missing-images", False),
    "skip_unreadable": ("--skip-unreadable --no-skip-unreadable", False),
    "allow_copied_translations": ("--allow-copied-translations --no-allow-copied-translations", False),
    "clean": ("--clean --no-clean", False),
    "dropout": ("--no-dropout --dropout", True),
}


def rows_of_fields(place: str, names: Collection[str] = FIELDS) -> list[Row]:
    """Return a row for each flag of the fields `names`, which arrives below `place` under the field's name."""
    return [(typed, f"{place}.{name}", value) for name, (typed, value) in FIELDS.items() if name in names]


def rows_of_forms(place: str, names: Collection[str] = FORMS) -> list[Row]:
    """Return a row for each default form of the switches among the fields `names`."""
    return [(typed, f"{place}.{name}", value) for name, (typed, value) in FORMS.items() if name in names]
