"""The framework figure is drawn from the library's own table of routes, the same bytes each time."""

import importlib.util

import pytest
from helpers.project import ROOT
from matplotlib.colors import to_rgb

from pecl.config.routes import ROUTES


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("draw_framework", ROOT / "scripts" / "draw_framework.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_same_bytes_twice_under_the_names_that_are_committed(script, tmp_path):
    for folder in ("a", "b"):
        script.main(["--out", str(tmp_path / folder)])
    names = {"framework.svg", "framework.png", "framework-dark.png"}
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        assert (ROOT / "img" / name).is_file()
    assert {path.name for path in (tmp_path / "a").iterdir()} == names


def test_the_dark_figure_is_dark_and_as_legible(script):
    """The page is dark, no words are: their contrast with it is that of WCAG's AA, 4.5 to 1, at least."""
    figure = script.draw()
    words = [text for text in figure.axes[0].texts if text.get_text() and text.get_color() != script.ON_CHIP]
    script.darken(figure)
    page = luminance(figure.get_facecolor())
    assert page < 0.05
    assert min((luminance(text.get_color()) + 0.05) / (page + 0.05) for text in words) >= 4.5


def luminance(colour):
    """Return the relative luminance of a colour, in [0, 1], as WCAG 2 has it."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return sum(part * weight for part, weight in zip(parts, (0.2126, 0.7152, 0.0722), strict=True))


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
