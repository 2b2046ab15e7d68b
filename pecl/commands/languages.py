"""`pecl languages`: list the known languages by region or script, or show the details of some."""

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pecl.adapters.ready import ready_adapters, ready_results
from pecl.commands import options as cli
from pecl.data.registry import DATASETS
from pecl.encoders.pairs import MINI
from pecl.errors import ConfigError, unknown
from pecl.language.language_guess import can_guess, is_detected
from pecl.language.languages import ENGLISH, LANGUAGES, Language, language_code, shared_code, way_to_adapter

_GROUPS = ("region", "script")
_SEARCHES = {True: "detected, or named with --language {code}", False: "named with --language {code} or --languages"}


@cli.command(
    "pecl languages --script Cyrl",
    cli.argument("names", "code or name, such as sw, swa, swh_Latn, Swahili", nargs="*", metavar="LANGUAGE"),
    cli.argument("--script", "only languages in this script, such as Cyrl"),
    cli.argument("--region", "only languages of this region, such as Africa"),
    cli.argument("--by", "group by region (default) or script", choices=_GROUPS, default="region"),
    cli.JSON,
)
def run(parsed: argparse.Namespace) -> None:
    """List languages by region or script, or show names, data sets and ready adapter of the given ones."""
    rows = [LANGUAGES[code] for code in dict.fromkeys(map(language_code, parsed.names))] or list(LANGUAGES.values())
    for field in _GROUPS:
        value = getattr(parsed, field)
        if value is not None:
            matching = [row for row in rows if getattr(row, field).lower() == value.lower()]
            if not matching:
                raise ConfigError(f"--{field}: {unknown(field, value, {getattr(row, field) for row in rows} - {''})}")
            rows = matching

    ready = ready_adapters(MINI)
    if parsed.names:
        notes = filter(None, map(shared_code, parsed.names))
        results = ready_results(MINI)
        parts = [*(_described(row, results.get(row.code)) for row in rows), *notes]
    else:
        groups: dict[str, list[str]] = {}
        for row in sorted(rows, key=lambda row: row.name):
            mark = "*" if row.code in ready else ""
            label = f"{row.name} {row.code}{mark}"
            groups.setdefault(getattr(row, parsed.by) or "other", []).append(label)
        table = cli.in_columns([(group, ", ".join(groups[group])) for group in sorted(groups)])
        parts = [table, f"{len(rows)} languages; * has a ready adapter for {MINI}"]

    cli.print_answer(parsed, [_document(row, row.code in ready) for row in rows], "\n\n".join(parts))


def _described(row: Language, result: Mapping[str, Any] | None) -> str:
    facts = _document(row, result is not None)
    pretrained = f"{MINI} and XLM-R were {'' if row.pretrained else 'not '}pretrained on it"
    lines = [
        (row.code, f"{row.name}, {row.endonym}" if row.endonym and row.endonym != row.name else row.name),
        ("other codes", ", ".join(code for code in (row.iso, row.iso3, row.flores) if code and code != row.code)),
        ("other names", ", ".join(row.aliases)),
        ("script, region", ", ".join(filter(None, (row.script, row.region)))),
        ("pretraining", pretrained),
        ("data sets", ", ".join(facts["datasets"])),
        ("searches", facts["detected"] is not None and _SEARCHES[facts["detected"]].format(code=row.code)),
        ("ready adapter", row.code != ENGLISH and _adapter(row.code, result)),
    ]
    return cli.in_columns([line for line in lines if line[1]])


def _adapter(code: str, result: Mapping[str, Any] | None) -> str:
    if result is None:
        return f"none; {way_to_adapter(code, MINI)}"
    sources = result["data"]["translations"]["provenance"]["sources"]
    return f"{MINI}:{code}; text: {', '.join(source['source'] for source in sources)}"


def _document(row: Language, is_ready: bool) -> dict[str, Any]:
    datasets = [name for name, info in DATASETS.items() if row.code in info.languages]
    detected = is_detected(row.code) if can_guess() else None  # lingua is an extra
    return asdict(row) | {"datasets": datasets, "ready": is_ready, "detected": detected}
