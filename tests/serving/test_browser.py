"""The page in a real browser: searching, languages side by side, before and after, the keyboard, a phone's width."""

import pytest
from helpers.browser import requests_of
from helpers.serving import LANGUAGES, make_service, running
from helpers.small_experiment import tiny_towers
from helpers.small_index import counted_towers, paint
from helpers.waiting import wait_until
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

import pecl.encoders.towers
from pecl.search.build import build_index
from pecl.serving.models import TextJob
from pecl.serving.photographs import Photographs

PHOTOGRAPHS = 30
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
    return make_service(photographs=Photographs(folder, tiny_towers().image))


@pytest.fixture(scope="module")
def address(service):
    with running(service) as address:
        yield address


@pytest.fixture
def page(browser, address):
    requests_of(browser)
    browser.get_log("browser")
    browser.get(f"{address}/")
    wait_until(lambda: "photographs" in browser.find_element(By.ID, "about").text, 120, "the page's start")
    yield browser
    assert browser.get_log("browser") == []  # no error, no warning, nothing that the policy has stopped
    asked = [url for url in requests_of(browser) if not url.startswith("data:")]
    assert {url.partition("/")[0] + "//" + url.split("/")[2] for url in asked} <= {address}
    assert browser.title == "pecl: search"


def rows(page):
    return page.find_elements(By.CSS_SELECTOR, "#queries .query")


def write(page, row, text, language=""):
    box = rows(page)[row].find_element(By.TAG_NAME, "input")
    box.clear()
    box.send_keys(text)
    Select(rows(page)[row].find_element(By.TAG_NAME, "select")).select_by_value(language)
    return box


def search(page, button=True):
    """Start a search and return its columns once they are there."""
    before = page.find_elements(By.CSS_SELECTOR, ".column")
    if button:
        page.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
    said = page.find_element(By.ID, "status")

    def columns():
        return page.find_elements(By.CSS_SELECTOR, ".column")

    def is_done():  # the end of an earlier search may still be said for a moment
        return said.text not in ("", "Searching …") and not set(before) & set(columns())

    wait_until(is_done, 120, "the search's end")
    return columns()


def ids(part):
    return [image.get_attribute("src").rpartition("/")[2] for image in part.find_elements(By.CSS_SELECTOR, ".shot img")]


def wanted(service, text, adapter, top=12):
    (answer,) = service.models.embed([TextJob([text], [adapter])])
    return [hit.id for hit in service.photographs.search(answer.embeddings[0], top)]


def test_a_search_by_the_keyboard_shows_the_photographs_in_their_order(page, service):
    assert page.find_element(By.ID, "about").text == "30 photographs, 12 languages with an adapter of tiny."
    assert page.switch_to.active_element == rows(page)[0].find_element(By.TAG_NAME, "input")
    write(page, 0, "ka lopi", "cs").send_keys(Keys.ENTER)
    (column,) = search(page, button=False)
    assert ids(column) == wanted(service, "ka lopi", "cs")
    assert column.find_element(By.CLASS_NAME, "note").text == "Czech (cs); adapter tiny:cs"
    assert column.find_element(By.TAG_NAME, "h2").get_attribute("lang") == "cs"
    assert page.find_element(By.ID, "status").text == "12 photographs for one query."
    widths = page.execute_async_script(
        "const done = arguments[0]; const all = [...document.querySelectorAll('.shot img')];"
        "all.forEach((image) => { image.loading = 'eager'; });"
        "Promise.all(all.map((image) => image.decode())).then(() => done(all.map((image) => image.naturalWidth)))"
    )
    assert widths == [8] * 12  # they are really shown


def test_a_language_is_detected_and_the_guess_is_shown(page):
    write(page, 0, "ein Hund läuft über die grüne Wiese")
    (column,) = search(page)
    note = column.find_element(By.CLASS_NAME, "note").text
    assert note.startswith("German (de), detected automatically (confidence 0.")
    assert note.endswith("); adapter tiny:de")


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


def test_before_and_after_the_adapter(page, service):
    write(page, 0, "terra", "ko")
    search(page)
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
    assert after.find_element(By.TAG_NAME, "h3").text == f"After: tiny:ko, {len(fresh)} new"


def test_a_photograph_is_opened_turned_over_and_closed_by_keys(page):
    write(page, 0, "ka lopi", "cs")
    (column,) = search(page)
    first = column.find_element(By.CLASS_NAME, "shot")
    order = ids(column)
    first.send_keys(Keys.ENTER)
    large = page.find_element(By.ID, "large")

    def shown():
        return large.get_attribute("src").rpartition("/")[2]

    wait_until(large.is_displayed, 60, "the viewer")
    assert (shown(), "/photographs/" in large.get_attribute("src")) == (order[0], True)
    assert page.find_element(By.ID, "name").text.startswith("summer/")
    keyboard = page.switch_to.active_element
    keyboard.send_keys(Keys.ARROW_RIGHT)
    assert shown() == order[1]
    keyboard.send_keys(Keys.ARROW_LEFT + Keys.ARROW_LEFT)
    assert shown() == order[-1]
    keyboard.send_keys(Keys.ESCAPE)
    wait_until(lambda: not large.is_displayed(), 60, "the viewer's end")
    wait_until(lambda: ids(column)[-1] in page.switch_to.active_element.get_attribute("innerHTML"), 60, "the focus")
    page.switch_to.active_element.send_keys("/")
    assert page.switch_to.active_element == rows(page)[0].find_element(By.TAG_NAME, "input")


def test_what_goes_wrong_is_said_and_the_page_goes_on(page):
    write(page, 0, "a")
    page.execute_script("arguments[0].value = 'x'.repeat(9000)", rows(page)[0].find_element(By.TAG_NAME, "input"))
    (column,) = search(page)
    said = page.find_element(By.ID, "status")
    assert "at most 8,192 characters" in said.text
    assert "wrong" in said.get_attribute("class")
    assert "at most 8,192 characters" in column.text
    page.get_log("browser")  # the browser notes each answer of 400
    write(page, 0, "ka lopi", "cs")
    assert len(ids(search(page)[0])) == 12


def test_a_query_with_a_script_is_text(page):
    write(page, 0, INJECTED, "de")
    (column,) = search(page)
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
    wait_until(lambda: page.find_elements(By.CSS_SELECTOR, ".column"), 120, "the search")
    columns = page.find_elements(By.CSS_SELECTOR, ".column")
    assert [ids(column) for column in columns] == [wanted(service, "santu", "fr"), wanted(service, "belo", "zh")]


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window_or_too_small_for_a_finger(browser, page, width):
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page.find_element(By.ID, "add").click()
        write(page, 0, "ka", "de")
        write(page, 1, "a query of words that are many, andofwhichonewordisverylongindeedbeyondallmeasure", "cs")
        page.find_element(By.ID, "compare").click()
        columns = search(page)
        assert len(columns) == 2
        script = "return [document.documentElement.scrollWidth, window.innerWidth]"
        scroll, inner = page.execute_script(script)
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
    def background(scheme):
        page.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        return page.execute_script("return getComputedStyle(document.body).backgroundColor")

    assert background("light") == "rgb(253, 253, 252)"
    assert background("dark") == "rgb(22, 24, 27)"
    background("")
