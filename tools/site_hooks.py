"""MkDocs hooks: pages generated from the code, and project files outside of docs/.

`<!-- command line -->` is replaced by the help of every command, and `<!-- api -->` by the public
names.
"""

import argparse
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "index.md": "README.md",
    "data.md": "data/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "security.md": "SECURITY.md",
    "captions.md": "img/results/captions.md",
    "result_tables.md": "results/measured/README.md",
    "effect_runs.md": "results/measured/effect/README.md",
    "language_list.md": "results/measured/languages/README.md",
    "weights.md": "LICENSE-WEIGHTS.md",
}
# link in the project's documents -> link on the site; earlier entries first
LINKS = {
    "](docs/": "](",
    "](../docs/": "](",
    "](../../../docs/": "](",
    "](../results/measured/effect/README.md": "](effect_runs.md",
    "](../results/measured/languages/README.md": "](language_list.md",
    "](../results/measured/README.md": "](result_tables.md",
    "](effect/README.md": "](effect_runs.md",
    "](../../docs/": "](",
    "](../../img/": "](img/",
    "](../examples/own_dataset.py": "](extend.md#a-data-set",
    "](../img/results/captions.md": "](captions.md",
    "](../img/": "](img/",
    "](../data/README.md": "](data.md",
    "](data/README.md": "](data.md",
    "](../CONTRIBUTING.md": "](contributing.md",
    "](../CHANGELOG.md": "](changelog.md",
    "](../SECURITY.md": "](security.md",
    "](SECURITY.md": "](security.md",
    "](LICENSE-WEIGHTS.md": "](weights.md",
    "](../README.md": "](index.md",
    "](../LICENSE-WEIGHTS.md": "](weights.md",
    "](../deploy/": "](deploy/",
}
ELSEWHERE = re.compile(r"\[([^\]]+)\]\((?:LICENSE|CITATION\.cff|mkdocs\.yml|notebooks/[^)]+)\)")  # not on the site
FRAMEWORK = re.compile(r"!\[([^\]]*)\]\(img/framework\.png\)")  # has a variant for dark pages


def on_config(config: Any) -> Any:
    """Add pages that the nav does not name at the end of the guides."""
    named = set(re.findall(r"[\w-]+\.md", str(config["nav"])))
    (guides,) = [section["Guides"] for section in config["nav"] if "Guides" in section]
    for path in sorted((ROOT / "docs").glob("*.md")):
        if path.name not in named:
            title = path.read_text("utf-8").partition("\n")[0].lstrip("# ")
            guides.append({title: path.name})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages, images and files of a deployment outside of docs/."""
    for name, source in PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    for path in sorted([*(ROOT / "img").rglob("*"), *(ROOT / "deploy").iterdir()]):
        if path.suffix in (".png", ".svg", ".jpg") or path.parent.name == "deploy":
            files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Insert generated parts and replace links."""
    for name, link in LINKS.items():
        markdown = markdown.replace(name, link)

    markdown = FRAMEWORK.sub(r"![\1](img/framework.png#only-light)![\1](img/framework-dark.png#only-dark)", markdown)
    markdown = ELSEWHERE.sub(r"\1", markdown)
    if "<!-- command line -->" in markdown:
        markdown = markdown.replace("<!-- command line -->", command_line())

    if "<!-- api -->" in markdown:
        markdown = markdown.replace("<!-- api -->", api())
    return markdown


def command_line() -> str:
    """Return the help of each command and action as Markdown."""
    from pecl.cli import build_parser

    os.environ["COLUMNS"] = "100"
    parts = [
        f"## {parser.prog}\n\n```text\n{parser.format_help().rstrip()}\n```" for parser in _parsers(build_parser())
    ]
    return "\n\n".join(parts)


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _parsers(inner)


def api() -> str:
    """Return a directive of mkdocstrings for each public name, in alphabetical order."""
    import pecl

    return "\n\n".join(f"::: {module}.{name}" for name, module in sorted(pecl._MODULES.items()))
