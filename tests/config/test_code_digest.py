"""Digests of registered code: equal for equal code, in any process, and different for whatever changes its values."""

import os
import subprocess
import sys

import pytest
import torch

from pecl.config.code_digest import code_digest

LOSS = """
import torch, threading
from dataclasses import dataclass
from functools import partial

SCALE = 2.0
WEIGHTS = {"a": 1.0, "b": [1, 2]}
CENTRE = torch.arange(3.0)

def power(x, exponent=2):
    return x ** exponent

def squared(x):
    return power(x)

def made(factor):
    def loss(query, anchor, images=None, *, offset=0.0):
        inner = lambda x: squared(x) * SCALE
        return inner(query - anchor).mean() * factor + WEIGHTS["a"] + offset + CENTRE.sum()
    return loss

loss = made(3.0)
"""
CLASS = """
import torch, pecl
from dataclasses import dataclass
from functools import partial
from pecl.adapters.slots import SlotModule

FACTOR = 1.0

class Scale(SlotModule):
    def __init__(self, base, rows, power):
        super().__init__(base, rows)
        self.power = power

    @staticmethod
    def scaled(x):
        return x * FACTOR

    def forward(self, x):
        return self.scaled(self.base(x)) ** self.power

@dataclass(frozen=True)
class loss(pecl.AdapterConfig):
    kind = "scale"
    size: int = 4

    @property
    def doubled(self):
        return 2 * self.size

    def placements(self, tower):
        return self.at_roles(tower, ("key",), partial(Scale, power=1))
"""
MODULE = """
import torch

class Loss(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 3)
        torch.nn.init.constant_(self.layer.weight, 0.5)
        torch.nn.init.zeros_(self.layer.bias)

    def forward(self, query, anchor, images=None):
        return self.layer(query - anchor).mean()

loss = Loss()
"""
IMPORTING = """
def loss(query, anchor, images=None):
    import my_helpers.parts as parts
    from my_helpers import used
    return used(query) + parts.other(anchor)
"""


def run_cell(source):
    """Run source as a notebook's cell does, which has no file, and return its `loss`."""
    cell = {"__name__": "__main__"}
    exec(compile(source, "<cell>", "exec"), cell)
    return cell["loss"]


def digest(source):
    return code_digest(run_cell(source), "loss my")


def test_equal_code_has_one_digest_in_any_process(tmp_path):
    sources = [LOSS, CLASS, MODULE]
    expected = [digest(source) for source in sources]
    assert [digest("\n\n# other lines\n" + source) for source in sources] == expected

    lines = ["from pecl.config.code_digest import code_digest"]
    for number, source in enumerate(sources):
        (tmp_path / f"losses_{number}.py").write_text(source)
        lines.append(f"import losses_{number}; print(code_digest(losses_{number}.loss, 'loss my'))")
    path = tmp_path / "again.py"
    path.write_text("\n".join(lines))
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True, env=environment)
        assert (done.stdout.split(), done.stderr) == (expected, "")


def test_a_function_that_ran_often_has_the_digest_it_had_before():
    """Python rewrites the bytecode of what runs often."""
    loss = run_cell(LOSS)
    before = code_digest(loss, "loss my")
    for _ in range(100):
        loss(torch.ones(2, 3), torch.zeros(2, 3))
    assert code_digest(loss, "loss my") == before


@pytest.mark.parametrize(
    ("source", "old", "new"),
    [
        (LOSS, "query - anchor", "query + anchor"),
        (LOSS, ".mean()", ".sum()"),
        (LOSS, "exponent=2", "exponent=3"),
        (LOSS, "offset=0.0", "offset=0.5"),
        (LOSS, "made(3.0)", "made(4.0)"),
        (LOSS, "SCALE = 2.0", "SCALE = 2"),
        (LOSS, "[1, 2]", "[1, 3]"),
        (LOSS, "torch.arange(3.0)", "torch.arange(3.0) + 1"),
        (LOSS, "x ** exponent", "x * exponent"),
        (LOSS, "return power(x)", "return abs(x)"),
        (LOSS, "loss = made(3.0)", "loss = partial(made(3.0), offset=1.0)"),
        (CLASS, "FACTOR = 1.0", "FACTOR = 2.0"),
        (CLASS, "x * FACTOR", "x + FACTOR"),
        (CLASS, "** self.power", "* self.power"),
        (CLASS, "size: int = 4", "size: int = 8"),
        (CLASS, "2 * self.size", "3 * self.size"),
        (CLASS, "partial(Scale, power=1)", "partial(Scale, power=2)"),
        (CLASS, '("key",)', '("value",)'),
        (CLASS, "class Scale(SlotModule)", "class Other:\n    pass\nclass Scale(Other, SlotModule)"),
        (MODULE, "constant_(self.layer.weight, 0.5)", "constant_(self.layer.weight, 0.25)"),
        (MODULE, ".mean()", ".sum()"),
    ],
)
def test_whatever_changes_values_changes_the_digest(source, old, new):
    assert source.count(old) >= 1
    assert digest(source.replace(old, new)) != digest(source)


def test_a_helper_or_value_that_changes_after_the_definition_counts():
    cell = {"__name__": "__main__"}
    exec(LOSS, cell)
    before = code_digest(cell["loss"], "loss my")
    exec("def power(x, exponent=2):\n    return x * exponent\n", cell)
    helper = code_digest(cell["loss"], "loss my")
    cell["WEIGHTS"]["a"] = 5.0
    value = code_digest(cell["loss"], "loss my")
    assert len({before, helper, value}) == 3


def test_modules_of_the_users_own_are_followed_by_what_is_used_of_them(tmp_path, monkeypatch):
    def digest_with(helpers, parts):
        for name in [name for name in sys.modules if name.partition(".")[0] == "my_helpers"]:
            monkeypatch.delitem(sys.modules, name)
        package = tmp_path / str(len(list(tmp_path.iterdir()))) / "my_helpers"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(helpers)
        (package / "parts.py").write_text(parts)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(package.parent))
            return digest(IMPORTING)

    helpers, parts = "def used(x):\n    return x.sum()\n", "def other(x):\n    return x.mean()\n"
    before = digest_with(helpers, parts)
    assert digest_with(f"{helpers}\ndef unused():\n    return 1\n", parts) == before
    assert digest_with(helpers.replace("sum", "mean"), parts) != before
    assert digest_with(helpers, parts.replace("mean", "sum")) != before


@pytest.mark.parametrize(
    ("used", "reason"),
    [
        ("threading.Lock()", "a value of the type lock"),
        ("open('/dev/null')", "a value of the type TextIOWrapper"),
        ("(i for i in range(3))", "a value of the type generator"),
    ],
)
def test_what_cannot_be_pickled_is_equal_only_in_this_process_and_a_warning_says_so(caplog, used, reason):
    source = LOSS.replace("SCALE = 2.0", f"SCALE = {used}")
    loss = run_cell(source)
    first = code_digest(loss, "loss my")
    assert code_digest(loss, "loss my") == first
    assert digest(source) != first  # another object
    message = f"loss my uses {reason}, which cannot be compared: other processes train its runs again"
    assert [record.getMessage() for record in caplog.records] == [message] * 2  # once for each

    loss.__globals__["power"] = abs  # the rest is compared nevertheless
    assert code_digest(loss, "loss my") != first


@pytest.mark.parametrize("call", ["open('centre.txt')", "eval('1')", "globals()"])
def test_what_reads_code_or_files_is_equal_only_in_this_process(caplog, call):
    source = f"def loss(query, anchor, images=None):\n    return {call}\n"
    loss = run_cell(source)
    assert code_digest(loss, "loss my") == code_digest(loss, "loss my") != digest(source)
    assert f"loss my uses {call.partition('(')[0]}(), which cannot be compared" in caplog.text
