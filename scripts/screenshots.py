"""Pictures of pages for the documents, by a real browser: `python scripts/screenshots.py PAGE OUT [--site FOLDER]`.

    pecl report results/grid_method1 --html page
    mkdocs build --site-dir site
    python scripts/screenshots.py page/index.html img/screenshots --site site

Needs Chromium with chromedriver, and selenium. Pictures have 64 colours, so that they are small.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

COLOURS = 64
DESKTOP, PHONE = (1100, 760), (390, 760)


def open_browser() -> webdriver.Chrome:
    """Return Chromium without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def take(browser: webdriver.Chrome, page: Path, out: Path, size: tuple[int, int], dark: bool = False) -> None:
    """Write the top of a page, as wide and high as `size` in pixels, to `out`."""
    scheme = "dark" if dark else "light"
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(page.resolve().as_uri())
    browser.execute_async_script(
        "const done = arguments[0];"
        "document.querySelectorAll('img').forEach((image) => { image.loading = 'eager'; });"
        "Promise.all([...document.images].slice(0, 60).map((image) => image.decode().catch(() => 0)))"
        ".then(() => done())"
    )
    picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(out, optimize=True)


def main() -> None:
    """Take the pictures of the page of results, and of the site where it is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="page of results, as `pecl report --html` writes it")
    parser.add_argument("out", type=Path, help="folder of the pictures")
    parser.add_argument("--site", type=Path, help="folder of the built site")
    parsed = parser.parse_args()
    browser = open_browser()
    try:
        take(browser, parsed.page, parsed.out / "page.png", DESKTOP)
        take(browser, parsed.page, parsed.out / "page-dark.png", DESKTOP, dark=True)
        take(browser, parsed.page, parsed.out / "page-phone.png", PHONE)
        if parsed.site:
            take(browser, parsed.site / "index.html", parsed.out / "site.png", DESKTOP)
    finally:
        browser.quit()


if __name__ == "__main__":
    main()
