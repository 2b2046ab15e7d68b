"""The page in a real browser: searching, languages side by side, before and after, the keyboard, a phone's width."""

import base64
import io
import json
import re
from importlib.resources import files

import pytest
from helpers.browser import background, requests_of
from helpers.serving import LANGUAGES, make_service, running
from helpers.small_index import counted_towers, paint
from helpers.waiting import wait_until
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

import pecl.encoders.towers
from pecl.search.build import build_index
from pecl.serving.models import TextJob

PHOTOGRAPHS = 60
INJECTED = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for i in range(PHOTOGRAPHS):
        paint(folder / "summer" / f"{i:02}.png", seed=i)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pecl.encoders.towers, "load_image_encoder", counted_towers()[0])
        patch.setenv("PECL_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        build_index(folder)
    return make_service(index=folder)


@pytest.fixture(scope="module")
def address(service):
    with running(service) as address:
        yield address


@pytest.fixture
def page(browser, address):
    requests_of(browser)
    browser.get_log("browser")
    browser.get(f"{address}/")
    wait_until(lambda: "photos" in browser.find_element(By.ID, "about").text, 120, "the page's start")
    browser.execute_script("document.getElementById('experts').open = true")
    yield browser
    browser.execute_script("localStorage.clear()")
    assert browser.get_log("browser") == []  # no error, no warning, nothing that the policy has stopped
    asked = [url for url in requests_of(browser) if not url.startswith("data:")]
    assert {url.partition("/")[0] + "//" + url.split("/")[2] for url in asked} <= {address}
    assert browser.title == "Search photos"


def rows(page):
    return page.find_elements(By.CSS_SELECTOR, "#queries .query")


def write(page, row, text, language=""):
    box = rows(page)[row].find_element(By.TAG_NAME, "input")
    box.clear()
    box.send_keys(text)
    Select(rows(page)[row].find_element(By.TAG_NAME, "select")).select_by_value(language)
    return box


def search(page):
    """Start a search and return its columns once they are there."""
    before = page.find_elements(By.CSS_SELECTOR, ".column")
    page.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
    said = page.find_element(By.ID, "status")

    def columns():
        return page.find_elements(By.CSS_SELECTOR, ".column")

    def is_done():  # the end of an earlier search may still be said for a moment
        return said.text not in ("", "Searching …") and not set(before) & set(columns())

    wait_until(is_done, 120, "the search's end")
    return columns()


def found(page, text="ka lopi", language="cs"):
    """Search with one query and return its column."""
    write(page, 0, text, language)
    (column,) = search(page)
    return column


def first_columns(page):
    """Return the columns of a page's first search once they are there."""
    return wait_until(lambda: page.find_elements(By.CSS_SELECTOR, ".column"), 120, "the search")


def ids(part):
    return [image.get_attribute("src").rpartition("/")[2] for image in part.find_elements(By.CSS_SELECTOR, ".shot img")]


def hits_of(service, text, adapter, top=12):
    (answer,) = service.models.embed([TextJob([text], [adapter])])
    return service.photographs.search(answer.embeddings[0], top, is_text=False)[0]


def wanted(service, text, adapter, top=12):
    return [hit.id for hit in hits_of(service, text, adapter, top)]


def test_a_search_by_the_keyboard_shows_the_photographs_in_their_order(page, service):
    assert page.find_element(By.ID, "about").text == f"{PHOTOGRAPHS} photos. Search in English."
    assert page.switch_to.active_element == rows(page)[0].find_element(By.TAG_NAME, "input")
    write(page, 0, "ka lopi", "cs").send_keys(Keys.ENTER)
    (column,) = first_columns(page)
    assert ids(column) == wanted(service, "ka lopi", "cs")
    assert column.find_element(By.CLASS_NAME, "note").text == "Czech"
    assert column.find_element(By.TAG_NAME, "h2").get_attribute("lang") == "cs"
    assert page.find_element(By.ID, "status").text == "12 photos. Closest first."
    widths = page.execute_async_script(
        "const done = arguments[0]; const all = [...document.querySelectorAll('.shot img')];"
        "all.forEach((image) => { image.loading = 'eager'; });"
        "Promise.all(all.map((image) => image.decode())).then(() => done(all.map((image) => image.naturalWidth)))"
    )
    assert widths == [8] * 12  # they are really shown


def test_a_language_is_detected_and_the_guess_is_shown(page):
    column = found(page, "ein Hund läuft über die grüne Wiese", "")
    note = column.find_element(By.CLASS_NAME, "note").text
    assert note == "Read as German, which is none of your languages."
    page.find_element(By.ID, "scores").click()
    assert re.fullmatch(r".* tiny:de \([01]\.\d\d\)", column.find_element(By.CLASS_NAME, "note").text)


def test_four_languages_side_by_side_and_no_fifth(page, service):
    add = page.find_element(By.ID, "add")
    for code, text in zip(LANGUAGES[:4], ("vi", "santu", "belo", "quar"), strict=True):
        if code != LANGUAGES[0]:
            add.click()
        write(page, len(rows(page)) - 1, text, code)
    assert not add.is_enabled()
    columns = search(page)
    assert len({column.location["y"] for column in columns}) == 1
    for column, code, text in zip(columns, LANGUAGES, ("vi", "santu", "belo", "quar"), strict=False):
        assert column.find_element(By.TAG_NAME, "h2").text == text
        assert ids(column) == wanted(service, text, code)
    rows(page)[1].find_element(By.CLASS_NAME, "remove").click()
    assert add.is_enabled()
    assert [c.find_element(By.TAG_NAME, "h2").text for c in search(page)] == ["vi", "belo", "quar"]


def test_without_and_with_the_adapter(page, service):
    found(page, "terra", "ko")
    page.find_element(By.ID, "compare").click()
    wait_until(lambda: page.find_elements(By.CLASS_NAME, "pair"), 120, "the comparison")
    before, after = page.find_elements(By.CSS_SELECTOR, ".pair > div")
    assert ids(before) == wanted(service, "terra", None)
    assert ids(after) == wanted(service, "terra", "ko")
    fresh = set(ids(after)) - set(ids(before))
    marked = {
        shot.find_element(By.TAG_NAME, "img").get_attribute("src").rpartition("/")[2]
        for shot in page.find_elements(By.CSS_SELECTOR, ".shot.fresh")
    }
    assert marked == fresh
    assert after.find_element(By.TAG_NAME, "h3").text == f"With tiny:ko: {len(fresh)} new"
    assert [mark.text for mark in after.find_elements(By.CLASS_NAME, "new")] == ["new"] * len(fresh)


def test_what_has_no_adapter_is_not_compared(page, service):
    page.find_element(By.ID, "compare").click()
    column = found(page, "a dog on the beach", "en")
    assert column.find_elements(By.CLASS_NAME, "pair") == []
    assert column.find_element(By.CLASS_NAME, "note").text == "English"
    assert ids(column) == wanted(service, "a dog on the beach", None)


def test_a_photograph_is_opened_turned_over_and_closed_by_keys(page, service):
    column = found(page)
    first = column.find_element(By.CLASS_NAME, "shot")
    order = ids(column)
    first.send_keys(Keys.ENTER)
    large = page.find_element(By.ID, "large")

    def quoted():
        return large.get_attribute("src").rpartition("/")[2]

    wait_until(large.is_displayed, 60, "the viewer")
    assert (quoted(), "/photographs/" in large.get_attribute("src")) == (order[0], True)
    file = service.photographs.name(service.photographs.index().find(order[0])).rpartition("/")
    assert (page.find_element(By.ID, "folder").text, page.find_element(By.ID, "name").text) == (file[0], file[2])
    keyboard = page.switch_to.active_element
    keyboard.send_keys(Keys.ARROW_RIGHT)
    assert quoted() == order[1]
    keyboard.send_keys(Keys.ARROW_LEFT + Keys.ARROW_LEFT)
    assert quoted() == order[-1]
    keyboard.send_keys(Keys.ESCAPE)
    wait_until(lambda: not large.is_displayed(), 60, "the viewer's end")
    wait_until(lambda: ids(column)[-1] in page.switch_to.active_element.get_attribute("innerHTML"), 60, "the focus")
    page.switch_to.active_element.send_keys("/")
    assert page.switch_to.active_element == rows(page)[0].find_element(By.TAG_NAME, "input")


def test_arrows_move_the_focus_among_photographs_and_the_viewer_offers_the_file(page, service):
    column = found(page)
    shots = column.find_elements(By.CLASS_NAME, "shot")
    wide = sum(shot.location["y"] == shots[0].location["y"] for shot in shots)
    page.execute_script("arguments[0].focus()", shots[0])
    places = (Keys.ARROW_RIGHT, 1), (Keys.ARROW_DOWN, 1 + wide), (Keys.ARROW_LEFT, wide), (Keys.ARROW_UP, 0)
    for key, place in (*places, (Keys.ARROW_LEFT, 0)):
        page.switch_to.active_element.send_keys(key)
        assert page.switch_to.active_element == shots[place]
    shots[0].click()
    hit = service.photographs.index().find(ids(column)[0])
    link = page.find_element(By.ID, "download")
    assert link.get_attribute("download") == f"{hit.path.stem}.jpg"
    assert link.get_attribute("href") == page.find_element(By.ID, "large").get_attribute("src")
    page.execute_script("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.find_element(By.ID, "copy").click()
    wait_until(lambda: page.find_element(By.ID, "copy").text == "Copied", 60, "the copy")
    assert page.execute_script("return window.copied") == f"summer/{hit.path.name}"


def test_a_grid_grows_at_its_end_and_the_slider_leaves_the_closest(page, service):
    write(page, 0, "ka lopi", "cs")
    Select(page.find_element(By.ID, "top")).select_by_value("all")
    (column,) = search(page)
    for _ in range(2):  # a jump to the end may come before the end is watched
        page.execute_script("window.scrollTo(0, 0); window.scrollTo(0, document.body.scrollHeight)")
    wait_until(lambda: len(ids(column)) == PHOTOGRAPHS, 120, "the rest")
    assert ids(column) == wanted(service, "ka lopi", "cs", PHOTOGRAPHS)
    scores = [hit.score for hit in hits_of(service, "ka lopi", "cs", PHOTOGRAPHS)]
    slider = page.find_element(By.ID, "closest")
    for value in (75, 100, 0):
        page.execute_script(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))", slider, value
        )
        least = min(scores) + value / 100 * (max(scores) - min(scores))
        count = "return [...document.querySelectorAll('.shot')].filter((shot) => shot.offsetParent).length"
        shown = sum(score >= least - 1e-6 for score in scores)
        assert page.execute_script(count) == shown
        photos = "photo" if shown == 1 else "photos"
        assert page.find_element(By.ID, "status").text == f"{shown} {photos}. Closest first."


def test_a_folder_is_chosen_and_the_address_keeps_it(page, service):
    write(page, 0, "ka lopi", "cs")
    offered = page.find_elements(By.CSS_SELECTOR, "#folders option")
    assert [one.get_attribute("value") for one in offered] == ["summer"]
    for folder, count in (("winter", 0), ("summer", 12)):
        page.find_element(By.ID, "in").clear()
        page.find_element(By.ID, "in").send_keys(folder)
        (column,) = search(page)
        assert len(ids(column)) == count
        assert f"in={folder}" in page.current_url


def test_what_goes_wrong_is_said_and_the_page_goes_on(page):
    write(page, 0, "a")
    page.execute_script("arguments[0].value = 'x'.repeat(9000)", rows(page)[0].find_element(By.TAG_NAME, "input"))
    (column,) = search(page)
    said = page.find_element(By.ID, "status")
    assert "at most 8,192 characters" in said.text
    assert "wrong" in said.get_attribute("class")
    assert "at most 8,192 characters" in column.text
    page.get_log("browser")  # the browser notes each answer of 400
    assert len(ids(found(page))) == 12


def test_examples_are_searched_with_at_a_click(page, service):
    examples = page.find_elements(By.CSS_SELECTOR, "#examples button")
    assert [one.text for one in examples][:2] == ["a dog on the beach", "pes na pláži"]
    assert len(examples) == 6
    assert examples[1].get_attribute("lang") == "cs"
    examples[1].click()
    (column,) = first_columns(page)
    assert ids(column) == wanted(service, "pes na pláži", "cs")
    assert not page.find_element(By.ID, "examples").is_displayed()


def test_file_and_folder_are_shown_and_scores_on_request(page, service):
    column = found(page)
    hits = hits_of(service, "ka lopi", "cs")
    captions = column.find_elements(By.CLASS_NAME, "caption")
    assert [one.text.split("\n") for one in captions] == [[hit.path.name, "summer"] for hit in hits]
    assert not any(one.is_displayed() for one in page.find_elements(By.CLASS_NAME, "score"))
    page.find_element(By.ID, "scores").click()
    assert [one.text.split("\n")[2] for one in captions] == [f"{hit.score:.3f}" for hit in hits]
    assert "scores=1" in page.current_url


def test_more_like_this_searches_with_the_photograph(page, service):
    column = found(page)
    first = ids(column)[0]
    column.find_element(By.CLASS_NAME, "shot").click()
    large = page.find_element(By.ID, "large")
    wait_until(large.is_displayed, 60, "the viewer")
    page.find_element(By.ID, "like").click()
    wait_until(lambda: page.find_elements(By.CSS_SELECTOR, ".query.picture"), 60, "the picture")
    heading = "return document.querySelector('.column h2')?.textContent ?? ''"  # at once: the page replaces its columns
    wait_until(lambda: page.execute_script(heading).startswith("Like "), 60, "the search")
    (column,) = page.find_elements(By.CSS_SELECTOR, ".column")
    assert ids(column)[0] == first
    assert column.find_element(By.CLASS_NAME, "note").text == "by picture"
    name = service.photographs.index().find(first).path.name
    assert page.find_element(By.CSS_SELECTOR, ".picture .text").text == name
    page.find_element(By.CSS_SELECTOR, ".picture .remove").click()
    assert page.switch_to.active_element == rows(page)[0].find_element(By.TAG_NAME, "input")


DROP = """
const [name, kind, content] = arguments;
const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], name, { type: kind }));
document.body.dispatchEvent(new DragEvent("dragover", { dataTransfer: data, bubbles: true, cancelable: true }));
const marked = document.body.classList.contains("dropping");
document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
return [marked, document.body.classList.contains("dropping")];
"""


def drop(page, name, content, kind="image/png"):
    return page.execute_script(DROP, name, kind, base64.b64encode(content).decode())


def test_a_dropped_picture_is_searched_with(page, service):
    """A large one, which the page makes smaller, and a transparent one, which is on white as in the index."""
    path = service.photographs.root / "summer" / "07.png"
    out = io.BytesIO()
    with Image.open(path) as small:
        small.resize((4000, 4000), Image.Resampling.NEAREST).save(out, "PNG")
    assert drop(page, "07 large.png", out.getvalue()) == [True, False]
    (column,) = first_columns(page)
    assert column.find_element(By.TAG_NAME, "h2").text == "Like 07 large.png"
    assert service.photographs.index().find(ids(column)[0]).path == path
    assert page.execute_script("return document.querySelector('.picture img').naturalWidth") == 1024


def test_a_file_that_is_no_picture_is_said(page):
    drop(page, "notes.txt", b"no picture", "text/plain")
    said = page.find_element(By.ID, "status")
    wait_until(lambda: said.text == "notes.txt cannot be read as a picture.", 60, "the sentence")
    assert len(rows(page)) == 1


def test_a_picture_is_chosen_by_a_button(page, service):
    path = service.photographs.root / "summer" / "03.png"
    page.find_element(By.ID, "file").send_keys(str(path))
    (column,) = first_columns(page)
    assert service.photographs.index().find(ids(column)[0]).path == path


def test_a_deleted_file_is_said(page, service):
    """In the grid and in the viewer; the photographs next to it are shown as ever."""
    write(page, 0, "santu", "de")
    hit = hits_of(service, "santu", "de")[0]
    away = hit.path.with_suffix(".away")
    hit.path.rename(away)
    service.photographs._kept.clear()
    page.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
    try:
        (column,) = search(page)
        said = wait_until(lambda: column.find_elements(By.CSS_SELECTOR, ".shot .gone"), 60, "the sentence")
        assert [one.text for one in said] == ["The file is gone or cannot be read."]
        column.find_element(By.CLASS_NAME, "shot").click()
        wait_until(lambda: page.find_element(By.ID, "gone").is_displayed(), 60, "the sentence in the viewer")
        assert not page.find_element(By.ID, "large").is_displayed()
        assert not page.find_element(By.ID, "like").is_enabled()
        page.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
        wait_until(lambda: page.find_element(By.ID, "large").is_displayed(), 60, "the next photograph")
        assert page.find_element(By.ID, "like").is_enabled()
    finally:
        away.rename(hit.path)
        page.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": False})
    page.get_log("browser")  # the browser notes each answer of 404


RING = """
const [ring, labels] = arguments;
ring.focus({ focusVisible: true });
const style = getComputedStyle(ring);
const wide = parseFloat(style.outlineWidth) + parseFloat(style.outlineOffset);
const box = ring.getBoundingClientRect();
return labels.filter((label) => {
  const other = label.getBoundingClientRect();
  return other.width && other.left < box.right + wide && other.right > box.left - wide
    && other.top < box.bottom + wide && other.bottom > box.top - wide;
}).map((label) => label.textContent);
"""


def test_the_focus_ring_is_clear_of_labels(page):
    write(page, 0, "terra", "ko")
    page.find_element(By.ID, "compare").click()
    page.find_element(By.ID, "scores").click()
    search(page)
    labels = page.find_elements(By.CSS_SELECTOR, "label span, .caption, h2, h3, .note")
    assert len(labels) > 24
    rings = page.find_elements(By.CSS_SELECTOR, ".query input, .query select, .shot, .shot.fresh")
    assert len(rings) >= 26
    for ring in rings:
        assert page.execute_script(RING, ring, labels) == []


def test_a_query_with_a_script_is_text(page):
    column = found(page, INJECTED, "de")
    assert column.find_element(By.TAG_NAME, "h2").text == INJECTED
    assert column.find_elements(By.TAG_NAME, "script") == []


def test_an_address_repeats_a_search(page, address, service):
    write(page, 0, "santu", "fr")
    page.find_element(By.ID, "add").click()
    write(page, 1, "belo", "zh")
    search(page)
    kept = page.current_url
    page.get(f"{address}/")
    wait_until(lambda: rows(page), 120, "the page's start")
    page.get(kept)
    assert [ids(column) for column in first_columns(page)] == [
        wanted(service, "santu", "fr"),
        wanted(service, "belo", "zh"),
    ]


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window_or_too_small_for_a_finger(browser, page, width):
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page.find_element(By.ID, "add").click()
        write(page, 0, "ka", "de")
        write(page, 1, "a query of words that are many, andofwhichonewordisverylongindeedbeyondallmeasure", "cs")
        page.find_element(By.ID, "compare").click()
        assert len(search(page)) == 2
        scroll, inner = page.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert inner == width
        assert scroll <= width
        for control in page.find_elements(By.CSS_SELECTOR, "form button, form select, form input[type=search], .shot"):
            if control.is_displayed():
                assert min(control.size.values()) >= 43, control.get_attribute("outerHTML")
        page.find_element(By.CLASS_NAME, "shot").click()
        assert page.execute_script("return document.getElementById('viewer').scrollWidth") <= width
        page.find_element(By.ID, "close").click()
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_dark_is_respected(page):
    assert background(page, "light") == "rgb(253, 253, 252)"
    assert background(page, "dark") == "rgb(22, 24, 27)"
    background(page, "")


@pytest.mark.parametrize(
    ("header", "title", "about"),
    [
        ("de-AT,de;q=0.9", "Fotos suchen", f"{PHOTOGRAPHS} Fotos. Suche auf Deutsch."),
        ("cs,de;q=0.8", "Hledání fotek", f"{PHOTOGRAPHS} fotek. Jazyky: čeština nebo němčina."),
        ("nl", "Search photos", f"{PHOTOGRAPHS} photos. Search in Dutch."),  # without a translation
        ("x" * 1024, "Search photos", f"{PHOTOGRAPHS} photos. Search in English."),
    ],
)
def test_the_page_speaks_the_browsers_language_and_no_jargon(browser, address, header, title, about):
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"accept-language": header}})
    try:
        browser.get(f"{address}/")
        wait_until(lambda: browser.find_element(By.ID, "about").text not in ("", "…"), 120, "the page's start")
        assert (browser.title, browser.find_element(By.ID, "about").text) == (title, about)
        assert not re.search(
            "adapter|mini|embedding|tower|tiny", browser.find_element(By.TAG_NAME, "body").text.lower()
        )
    finally:
        browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})


def test_languages_are_changed_on_the_page_and_kept_by_the_browser(page, address):
    Select(page.find_element(By.ID, "speak")).select_by_value("de")
    chips = [one.text for one in page.find_elements(By.CSS_SELECTOR, "#spoken button")]
    assert chips == ["English ×", "German ×"]
    assert found(page, "ein Hund läuft über die grüne Wiese", "").find_element(By.CLASS_NAME, "note").text == "German"
    page.find_elements(By.CSS_SELECTOR, "#spoken button")[0].click()
    page.get(f"{address}/")
    wait_until(lambda: "photos" in page.find_element(By.ID, "about").text, 120, "the page's start")
    assert page.find_element(By.ID, "about").text == f"{PHOTOGRAPHS} photos. Search in German."


def test_every_language_of_the_page_has_every_string():
    folder = files("pecl.serving") / "static"
    strings = json.loads((folder / "strings.json").read_text("utf-8"))
    assert list(strings) == ["en", "de", "fr", "cs", "es", "it", "pl", "tr", "ru", "zh", "jp", "ko", "sw"]
    sources = [(folder / name).read_text("utf-8") for name in ("page.html", "page.js", "results.js")]
    used = set(re.findall(r'data-t(?:-\w+)?="(\w+)"|\bt\("(\w+)"', "".join(sources)))
    assert {one or other for one, other in used} == set(strings["en"])
    for own in strings.values():
        assert own.keys() == strings["en"].keys()
        for key, text in own.items():
            forms = text.values() if isinstance(text, dict) else [text]
            english = strings["en"][key]
            wanted = set(re.findall(r"\{\w+\}", english["other"] if isinstance(english, dict) else english))
            assert all(set(re.findall(r"\{\w+\}", form)) == wanted for form in forms), (key, text)
