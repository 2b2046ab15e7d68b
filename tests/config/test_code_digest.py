"""Digests of registered code: equal for equal files in any process, and never equal for code without a file."""

import importlib
import subprocess
import sys
from dataclasses import replace
from functools import partial
from hashlib import sha256

import pytest

from pecl.config.code_digest import code_digest
from pecl.config.recipes import Recipe

LOSS = """
SCALE = 2.0

def power(x, exponent=2):
    return x ** exponent

def loss(query, anchor, images=None):
    return power(query - anchor).mean() * SCALE

class Loss:
    def __call__(self, query, anchor, images=None):
        return loss(query, anchor)

    class Inner:
        pass

def made(factor):
    return lambda query, anchor, images=None: factor * loss(query, anchor)
"""


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """Return what writes files into a fresh folder and imports a module from there, as another process would."""

    def run(name, **files):
        for known in [one for one in sys.modules if one.partition(".")[0] == name.partition(".")[0]]:
            monkeypatch.delitem(sys.modules, known)
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for path, source in files.items():
            file = folder / f"{path.replace('.', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)
        monkeypatch.syspath_prepend(str(folder))
        return importlib.import_module(name)

    return run


def test_the_file_is_the_code(imported):
    first = imported("my_loss", my_loss=LOSS)
    digests = [code_digest(one, "loss my") for one in (first.loss, first.Loss, first.power)]
    assert len(set(digests)) == 3
    again = imported("my_loss", my_loss=LOSS)
    assert again.loss is not first.loss
    assert [code_digest(one, "loss my") for one in (again.loss, again.Loss, again.power)] == digests


@pytest.mark.parametrize(
    ("old", "new"),
    [("query - anchor", "query + anchor"), ("SCALE = 2.0", "SCALE = 3.0"), ("exponent=2", "exponent=3")],
)
def test_whatever_changes_in_the_file_changes_the_digest(imported, old, new):
    first, second = (imported("my_loss", my_loss=source) for source in (LOSS, LOSS.replace(old, new)))
    assert code_digest(first.loss, "loss my") != code_digest(second.loss, "loss my")


def test_all_files_of_a_package_count(imported):
    files = {"my_losses.__init__": "", "my_losses.one": "from my_losses.two import power\n" + LOSS}
    first = imported("my_losses.one", **files, **{"my_losses.two": "def power(x):\n    return x\n"})
    second = imported("my_losses.one", **files, **{"my_losses.two": "def power(x):\n    return -x\n"})
    assert code_digest(first.loss, "loss my") != code_digest(second.loss, "loss my")


def test_code_without_a_file_of_its_own_is_equal_to_itself_only(imported, caplog):
    module = imported("my_loss", my_loss=LOSS)
    cell = {"__name__": "__main__"}
    exec(LOSS, cell)  # as a notebook's cell, which has no file
    ways = [cell["loss"], module.made(2.0), module.made(2.0), partial(module.loss), module.Loss(), module.Loss.Inner]
    digests = [code_digest(one, "loss my") for one in ways]
    assert len(set(digests)) == len(ways)
    assert [code_digest(one, "loss my") for one in ways] == digests
    message = (
        "loss my is no function or class at the top of a file, so its code cannot be compared: other processes train "
        "its runs again"
    )
    assert [record.getMessage() for record in caplog.records] == [message] * len(ways)  # once for each


def test_the_code_that_ran_counts_and_not_what_the_file_has_become(imported):
    module = imported("my_loss", my_loss=LOSS)
    before = code_digest(module.loss, "loss my")
    with open(module.__file__, "a") as file:
        file.write("\n# edited while the process runs\n")
    assert code_digest(module.loss, "loss my") == before


def test_a_recipe_is_its_fields_and_the_code_of_its_loss(imported):
    module = imported("my_loss", my_loss=LOSS)
    recipe = Recipe("of translations", "pairs", ("target",), ("english",), "mean", {"lr": 1e-3}, make=module.Loss)
    equal = replace(recipe, values={"lr": 1e-3})
    others = [replace(recipe, student=("english",)), replace(recipe, values={"lr": 2e-3}), replace(recipe, make=None)]
    assert code_digest(equal, "recipe my") == code_digest(recipe, "recipe my")
    assert code_digest(recipe, "recipe my") not in [code_digest(other, "recipe my") for other in others]


@pytest.mark.slow
def test_a_script_has_one_digest_in_any_process(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(f"{LOSS}\nfrom pecl.config.code_digest import code_digest\nprint(code_digest(loss, 'loss my'))\n")
    runs = [subprocess.run([sys.executable, path], capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.strip()) == len(sha256().hexdigest())
    assert not runs[0].stderr
