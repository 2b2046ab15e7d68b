"""A result's digest shows a number that was changed on disk; its environment is that of the process."""

import hashlib
import json
import re

import pytest
from helpers.report_results import train

from pecl.errors import DataError
from pecl.results.result import read_result, write_result


@pytest.fixture
def path(tmp_path):
    return write_result(tmp_path, train(4, 6, dataset="Fotos für mich"))


def test_it_is_the_sha_256_of_the_sorted_json_without_spaces(path):
    document = json.loads(path.read_text("utf-8"))
    stated = document.pop("sha256")
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert stated == hashlib.sha256(canonical.encode("utf-8")).hexdigest()
    assert list(json.loads(path.read_text("utf-8")))[-1] == "sha256"


def test_every_digit_that_is_changed_is_seen(path):
    """Those of ranks apart, each alone: a number becomes another one, which may be as good as it."""
    text = path.read_text("utf-8")
    head, ranks, tail = re.split(r'("ranks": \{.*?\n  \},)', text, flags=re.DOTALL)
    places = [*(m.start() for m in re.finditer(r"\d", head)), len(head) + ranks.index("20")]
    places += [len(head + ranks) + m.start() for m in re.finditer(r"\d", tail)]
    assert len(places) > 300
    for place in places:
        other = str((int(text[place]) + 1) % 9 or 9)
        path.write_text(text[:place] + other + text[place + 1 :], encoding="utf-8")
        with pytest.raises(DataError, match=re.escape(str(path))):
            read_result(path)
