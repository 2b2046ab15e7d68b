"""What an experiment folder holds, for comparing two of them, and a config as flags of a command."""

import json
from pathlib import Path


def flags(values):
    return [part for name, value in values.items() for part in (f"--{name.replace('_', '-')}", str(value))]


PARTS = ("adapters", "splits", "retrieved")


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


def exchange(one, other):
    """Let two files change places."""
    spare = one.with_name("spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def without_digest(path):
    """Return the JSON of a result, to be written otherwise: without the digest that would tell."""
    document = json.loads(path.read_text("utf-8"))
    assert len(document.pop("sha256")) == 64
    return document


def measured(folder):
    """Everything that results and adapters say but for times and the like."""
    results = [json.loads(path.read_text("utf-8")) for path in sorted(Path(folder).glob("*.json"))]
    kept = ("run_id", "status", "metrics", "ranks", "curve", "best_step", "steps", "data", "adapter")
    paths = [path for part in PARTS for path in Path(folder).glob(f"{part}/**/*") if path.is_file()]
    neighbour = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    return [{key: result.get(key) for key in kept} for result in results], neighbour
