"""The framework figure is drawn from the library's own table of routes, the same bytes each time."""

import importlib.util

import pytest
from helpers.project import ROOT

from pecl.routes import ROUTES


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("draw_framework", ROOT / "scripts" / "draw_framework.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_same_bytes_twice_under_the_names_that_are_committed(script, tmp_path):
    for folder in ("a", "b"):
        script.main(["--out", str(tmp_path / folder)])
    for name in ("framework.svg", "framework.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        assert (ROOT / "img" / name).is_file()
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"framework.svg", "framework.png"}


def test_every_route_stands_in_it_and_no_two_texts_overlap(script):
    figure = script.draw()
    figure.canvas.draw()
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    assert set(ROUTES) <= {text.get_text() for text in texts}
    boxes = [text.get_window_extent() for text in texts]
    for i, one in enumerate(boxes):
        assert figure.bbox.x0 <= one.x0 < one.x1 <= figure.bbox.x1
        for other, text in zip(boxes[:i], texts, strict=False):
            assert not one.padded(-1).overlaps(other.padded(-1)), (texts[i].get_text(), text.get_text())
