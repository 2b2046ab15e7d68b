"""A call of the system that fails, at each place in turn: the old file or the new one is there, and no other."""

import errno
import fcntl
import itertools
import os
import re

import pytest
import torch
from helpers.folders import listing, measured
from helpers.grid_processes import HalfWritten

import pecl.training.trainer
from pecl import files
from pecl.config import make_config
from pecl.errors import OutputError
from pecl.experiment.run import train
from pecl.files import writing

ERROR = errno.ENOSPC
_OPEN = open


class Faults:
    """Lets the `at`-th call (from 1) of those that write fail, and all later ones where `lasting`.

    Removing is no such call: what cannot be removed is left over, and nothing can be done about it.
    """

    CALLS = ("open", "mkdir", "listdir", "fsync", "replace", "truncate", "write", "pread")

    def __init__(self, monkeypatch, at=0, lasting=False):
        self.at, self.lasting, self.calls = at, lasting, []
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self._counted(name, getattr(os, name)))
        monkeypatch.setattr(fcntl, "flock", self._counted("flock", fcntl.flock))
        monkeypatch.setattr(writing, "open", self._open, raising=False)

    def _counted(self, name, plain):
        def call(*arguments, **options):
            self.meet(name)
            return plain(*arguments, **options)

        return call

    def meet(self, name):
        self.calls.append(name)
        if len(self.calls) == self.at or (self.lasting and len(self.calls) > self.at):
            raise OSError(ERROR, os.strerror(ERROR))

    def _open(self, *arguments, **options):
        file = _OPEN(*arguments, **options)
        return HalfWritten(file, lambda _: self.meet("write")) if set("wx") & set(str(arguments[1:])) else file


def count(operation):
    """Return the calls of `operation` where none fails."""
    with pytest.MonkeyPatch.context() as patch:
        faults = Faults(patch)
        operation()
    return faults.calls


def each_fault(operation):
    """Yield (which call fails, what it raised or None) for each call of `operation`, by itself and with all later."""
    calls = count(operation)
    for at, lasting in itertools.product(range(1, len(calls) + 1), (False, True)):
        with pytest.MonkeyPatch.context() as patch:
            Faults(patch, at, lasting)
            try:
                operation()
                raised = None
            except OutputError as error:
                raised = str(error)
        yield f"{calls[at - 1]}, call {at}", raised


WRITERS = {
    "bytes": lambda path, which: files.write_bytes(path, which * 100_000),
    "json": lambda path, which: files.write_json(path, {"which": which.decode()}),
    "tensors": lambda path, which: files.write_tensors(path, {"a": torch.full((9,), which[0])}, {"which": "x"}),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("before", [True, False], ids=["over an old file", "where none is"])
def test_a_write_that_fails_leaves_the_old_file_or_the_new_one(tmp_path, kind, before):
    path, write = tmp_path / "folder" / "a", WRITERS[kind]
    new = write(tmp_path / "new", b"n").read_bytes()
    old = write(tmp_path / "old", b"o").read_bytes()

    def operation():
        if before:
            path.parent.mkdir(exist_ok=True)
            with _OPEN(path, "wb") as file:
                file.write(old)
        elif path.exists():
            path.unlink()
        write(path, b"n")

    failed = 0
    for where, raised in each_fault(operation):
        failed += raised is not None
        found = path.read_bytes() if path.exists() else None
        assert found == (new if raised is None else old if before else None), where
        assert {p.name for p in path.parent.glob("*")} <= {"a"}, where
        assert raised is None or re.fullmatch(rf"cannot write {path}: [A-Z][a-z /]+", raised), raised
    assert {"fsync", "replace", "write", "open"} <= set(count(operation))
    assert failed >= 4 * 2


def test_a_training_whose_disk_fails_at_any_write_goes_on_to_the_same_bits(small, tmp_path, monkeypatch):
    """The k-th fsync fails, for each k; the same command then gives what it gives undisturbed."""
    monkeypatch.setattr(pecl.training.trainer, "SAVE_EVERY_SECONDS", 0.0)
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    plain = os.fsync
    calls = []

    def train_into(name, at=0):
        calls.clear()

        def fsync(descriptor):
            calls.append(None)
            if len(calls) == at:
                raise OSError(ERROR, "no luck")
            plain(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        train(make_config({**small, "out": str(tmp_path / name)}))
        return listing(tmp_path / name), measured(tmp_path / name)

    undisturbed = train_into("plain")
    train_into("counted")  # with all embeddings there, as below
    for at in range(1, len(calls) + 1):
        out = tmp_path / str(at)
        with pytest.raises(OutputError, match="no luck"):
            train_into(out.name, at)
        assert not [name for name in listing(out) if name.endswith(".tmp") or name.endswith(".lock")], at
        assert train_into(out.name) == undisturbed, at
