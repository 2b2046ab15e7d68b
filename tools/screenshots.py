"""Take screenshots for the documents in a real browser; each flag adds some.

    pecl report results/quickstart --html page                        (after scripts/quickstart.sh)
    pecl index scenes --thumbnails && pecl serve --index scenes      (pictures of load_scenes("cs", 300))
    python tools/screenshots.py img --page page/index.html --server http://127.0.0.1:8000

Needs Chromium with chromedriver, and selenium. To keep files small,
pages have 64 colours and photographs are JPEG.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

COLOURS, QUALITY = 64, 70
DESKTOP, WIDE, TALL = (1100, 1010), (1280, 800), (390, 844)
QUERIES = {
    "cs": "modrý stan a černý pes",
    "ru": "синяя палатка и чёрная собака",
    "de": "ein blaues Zelt und ein schwarzer Hund",
    "en": "a blue tent and a black dog",
}
BEFORE_AND_AFTER = {"cs": "modrý stan a černý pes na pláži"}


def open_browser() -> webdriver.Chrome:
    """Return Chromium without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def show(
    browser: webdriver.Chrome,
    address: str,
    size: tuple[int, int],
    dark: bool = False,
) -> None:
    """Open a page, as wide and high as `size` in pixels."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == TALL}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(address)


def take(browser: webdriver.Chrome, out: Path) -> None:
    """Write the visible page with loaded images, in the format of `out`'s suffix."""
    browser.execute_async_script(
        "const done = arguments[0];"
        "document.querySelectorAll('img').forEach((image) => { image.loading = 'eager'; });"
        "Promise.all([...document.images].slice(0, 60).map((image) => image.decode().catch(() => 0)))"
        ".then(() => done())"
    )
    picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    out.parent.mkdir(parents=True, exist_ok=True)

    if out.suffix == ".jpg":
        picture.save(out, quality=QUALITY, optimize=True)
    else:
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(out, optimize=True)


def search(browser: webdriver.Chrome, queries: dict[str, str], before: bool = False) -> None:
    """Search on the server's page with one query per language and wait for the results."""
    WebDriverWait(browser, 60).until(lambda page: "photos" in page.find_element(By.ID, "about").text)
    for place, (language, text) in enumerate(queries.items()):
        if place:
            browser.find_element(By.ID, "add").click()
        row = browser.find_elements(By.CSS_SELECTOR, "#queries .query")[place]
        Select(row.find_element(By.TAG_NAME, "select")).select_by_value(language)
        row.find_element(By.TAG_NAME, "input").send_keys(text)

    if before:
        browser.find_element(By.CSS_SELECTOR, "#experts summary").click()
        browser.find_element(By.ID, "compare").click()
        browser.find_element(By.CSS_SELECTOR, "#experts summary").click()

    # room for the photographs
    browser.execute_script("document.getElementById('options').open = false")
    browser.find_element(By.CSS_SELECTOR, "button.primary").click()
    WebDriverWait(browser, 60).until(lambda page: "Closest first" in page.find_element(By.ID, "status").text)


def main() -> None:
    """Take the screenshots that the flags select."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the screenshots, such as img")
    parser.add_argument("--page", type=Path, help="page from `pecl report --html`")
    parser.add_argument("--server", help="address of `pecl serve --index` with drawn scenes")

    parsed = parser.parse_args()
    browser = open_browser()
    try:
        if parsed.page:
            show(browser, parsed.page.resolve().as_uri(), DESKTOP)
            take(browser, parsed.out / "screenshots" / "page.png")

        if parsed.server:
            show(browser, parsed.server, WIDE)
            search(browser, QUERIES)
            take(browser, parsed.out / "serving" / "languages.jpg")
            show(browser, parsed.server, WIDE)
            search(browser, BEFORE_AND_AFTER, before=True)
            take(browser, parsed.out / "serving" / "before-after.jpg")
            show(browser, parsed.server, TALL, dark=True)
            search(browser, {language: QUERIES[language] for language in ("cs", "en")})
            take(browser, parsed.out / "serving" / "phone.jpg")
    finally:
        browser.quit()


if __name__ == "__main__":
    main()
