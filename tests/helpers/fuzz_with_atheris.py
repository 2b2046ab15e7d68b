"""Fuzz one parser with atheris, led by the branches of pecl that an input reaches: NAME FOLDER [libFuzzer's options].

A process of its own, since libFuzzer ends it: with status 0, or at the first error that is not a `PeclError`.
"""

import contextlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pecl"]):
    from helpers.parsers import make_parsers
    from pecl.errors import PeclError


def main(name, folder, *options):
    folder = Path(folder)
    (folder / "sound").mkdir()
    parser = make_parsers(folder / "sound")[name]
    path = folder / "read" / parser.path
    for place, content in {parser.path: b"", **parser.neighbour}.items():
        (folder / "read" / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / "read" / place).write_bytes(content)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, content in enumerate(parser.sound):
        (corpus / str(number)).write_bytes(content)

    def once(content):
        path.write_bytes(content)
        with contextlib.suppress(PeclError):
            parser.read(path)

    atheris.Setup([sys.argv[0], f"-artifact_prefix={folder}/", *options, str(corpus)], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
