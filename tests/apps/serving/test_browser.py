"""The page in a real browser: searching, languages side by side, before and after, the keyboard, a phone's width."""

import re

import pytest
from helpers.browser import requests_of
from helpers.serving import LANGUAGES, adapter_files, make_models, make_service, running
from helpers.small_index import counted_towers, paint
from helpers.waiting import wait_until
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

import pecl.encoders.towers
from pecl.apps.search.build import build_index
from pecl.apps.search.catalogue import photograph_id
from pecl.apps.serving.models import TextJob

pytestmark = pytest.mark.slow

PHOTOGRAPHS = 60
INJECTED = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for i in range(PHOTOGRAPHS):
        paint(folder / ("2019-07 summer" if i % 3 else "2018 Bodrum") / f"{i:02}.png", seed=i)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pecl.encoders.towers, "load_image_encoder", counted_towers()[0])
        patch.setenv("PECL_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        build_index(folder)
    files = adapter_files()
    models = make_models(files)
    models.add("cs_v2", files[LANGUAGES.index("cs")])  # a name that browsers take for no language's code
    return make_service(models, index=folder)


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
    sources = [image.get_attribute("src") for image in part.find_elements(By.CSS_SELECTOR, ".shot img")]
    return [source.rpartition("/")[2].partition("?")[0] for source in sources]


def wanted(service, text, adapter, top=12):
    (answer,) = service.models.embed([TextJob([text], [adapter])])
    return [hit.id for hit in service.photographs.index().search(answer.embeddings, top=top, corrected=False)[0]]


def of_july(service):
    """Ids of the photographs in the folder of July 2019."""
    paths = [path for path in service.photographs.index().paths if path.parent.name == "2019-07 summer"]
    return {photograph_id(path.relative_to(service.photographs.root).as_posix()) for path in paths}


def test_a_search_by_the_keyboard_shows_the_photographs_in_their_order(page, service):
    assert page.find_element(By.ID, "about").text == f"{PHOTOGRAPHS} photos. Search in English."
    assert page.switch_to.active_element == rows(page)[0].find_element(By.TAG_NAME, "input")
    write(page, 0, "ka lopi", "cs").send_keys(Keys.ENTER)
    (column,) = first_columns(page)
    assert ids(column) == wanted(service, "ka lopi", "cs")
    assert page.find_element(By.ID, "status").text == "12 photos. Closest first."
    widths = page.execute_async_script(
        "const done = arguments[0]; const all = [...document.querySelectorAll('.shot img')];"
        "all.forEach((image) => { image.loading = 'eager'; });"
        "Promise.all(all.map((image) => image.decode())).then(() => done(all.map((image) => image.naturalWidth)))"
    )
    assert widths == [8] * 12  # they are really shown


def test_languages_side_by_side_and_an_address_repeats_them(page, address, service):
    asked = list(zip(LANGUAGES, ("vi", "santu", "belo", "quar"), strict=False))
    for code, text in asked:
        if rows(page)[0].find_element(By.TAG_NAME, "input").get_attribute("value"):
            page.find_element(By.ID, "add").click()
        write(page, len(rows(page)) - 1, text, code)
    assert not page.find_element(By.ID, "add").is_enabled()  # no fifth
    expected = [wanted(service, text, code) for code, text in asked]
    assert [ids(column) for column in search(page)] == expected
    kept = page.current_url
    page.get(f"{address}/")
    wait_until(lambda: rows(page), 120, "the page's start")
    page.get(kept)
    assert [ids(column) for column in first_columns(page)] == expected
    write(page, 0, "ka lopi", "cs")
    search(page)
    page.back()
    wait_until(lambda: [ids(one) for one in page.find_elements(By.CSS_SELECTOR, ".column")] == expected, 60, "them")
    assert page.current_url == kept


def test_a_photograph_is_opened_turned_over_and_searched_with(page):
    column = found(page)
    order = ids(column)
    column.find_element(By.CLASS_NAME, "shot").send_keys(Keys.ENTER)
    large = page.find_element(By.ID, "large")
    wait_until(large.is_displayed, 60, "the viewer")
    for key, place in (("", 0), (Keys.ARROW_RIGHT, 1), (Keys.ARROW_LEFT + Keys.ARROW_LEFT, -1)):
        page.switch_to.active_element.send_keys(key)
        assert large.get_attribute("src").partition("?")[0].endswith(f"/photographs/{order[place]}")
    right = (
        "return document.getElementById('close').getBoundingClientRect().right - document.documentElement.clientWidth"
    )
    assert page.execute_script(right) <= 0  # not under the scroll bar
    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    wait_until(lambda: not large.is_displayed(), 60, "the viewer's end")
    page.switch_to.active_element.send_keys(Keys.ENTER)
    wait_until(large.is_displayed, 60, "the viewer")
    page.find_element(By.ID, "like").click()
    heading = "return document.querySelector('.column h2')?.textContent ?? ''"  # at once: the page replaces its columns
    wait_until(lambda: page.execute_script(heading).startswith("Like "), 60, "the search")
    (column,) = page.find_elements(By.CSS_SELECTOR, ".column")
    assert ids(column)[0] == order[-1]


def test_what_goes_wrong_is_said_and_the_page_goes_on(page):
    column = found(page, INJECTED, "de")
    assert column.find_element(By.TAG_NAME, "h2").text == INJECTED
    assert column.find_elements(By.TAG_NAME, "script") == []
    page.execute_script("arguments[0].value = 'x'.repeat(9000)", rows(page)[0].find_element(By.TAG_NAME, "input"))
    (column,) = search(page)
    said = page.find_element(By.ID, "status")
    assert "at most 8,192 characters" in said.text
    assert "wrong" in said.get_attribute("class")
    assert "at most 8,192 characters" in column.text
    page.get_log("browser")  # the browser notes each answer of 400
    assert len(ids(found(page))) == 12
    page.execute_script("window.fetch = () => Promise.reject(new TypeError('Failed to fetch'))")
    assert search(page)[0].find_element(By.CLASS_NAME, "note").text == said.text == "The server does not answer."


@pytest.mark.parametrize("width", [320, 360, 390])
def test_nothing_is_wider_than_a_phone_or_too_small_for_a_finger(browser, page, width):
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page.find_element(By.ID, "add").click()
        write(page, 0, "ka", "de")
        write(page, 1, "a query of words that are many, andofwhichonewordisverylongindeedbeyondallmeasure", "cs")
        page.find_element(By.ID, "compare").click()
        page.execute_script("document.getElementById('options').open = true")
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


def test_the_page_speaks_the_browsers_language_and_no_jargon(browser, address):
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"accept-language": "de-AT,de;q=0.9"}})
    try:
        browser.get(f"{address}/")
        wait_until(lambda: browser.find_element(By.ID, "about").text not in ("", "…"), 120, "the page's start")
        assert browser.title == "Fotos suchen"
        assert browser.find_element(By.ID, "about").text == f"{PHOTOGRAPHS} Fotos. Suche auf Deutsch."
        shown = browser.find_element(By.TAG_NAME, "body").text.lower()
        assert not re.search("adapter|mini|embedding|tower|tiny", shown)
    finally:
        browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})


def chips(page):
    """The names and days of the search that is shown, which can be removed."""
    script = "return [...document.querySelectorAll('.column .chip')].map((button) => button.textContent)"
    return page.execute_script(script)  # at once: the page replaces its columns


def test_days_in_the_text_and_in_fields_are_shown_and_removed(page, address, service):
    everything = ids(found(page, "ka lopi"))
    column = found(page, "ka lopi in July 2019")
    assert chips(page) == ["July 2019 ×"]
    assert ids(column) == [hit for hit in wanted(service, "ka lopi", "cs", PHOTOGRAPHS) if hit in of_july(service)][:12]
    page.find_element(By.CSS_SELECTOR, ".column .chip").click()
    wait_until(lambda: not chips(page), 60, "the search without days")
    assert rows(page)[0].find_element(By.TAG_NAME, "input").get_attribute("value") == "ka lopi"
    assert ids(first_columns(page)[0]) == everything

    page.execute_script(
        "for (const [id, day] of [['from', '2019-07-01'], ['until', '2019-07-31']]) {"
        "  const field = document.getElementById(id); field.value = day; field.dispatchEvent(new Event('change')); }"
    )
    wait_until(lambda: chips(page) == ["July 2019 ×"], 60, "the days of the fields")
    assert set(ids(first_columns(page)[0])) <= of_july(service)
    kept = page.current_url
    page.get(f"{address}/")
    wait_until(lambda: rows(page), 120, "the page's start")
    page.get(kept)
    first_columns(page)
    assert chips(page) == ["July 2019 ×"]
    page.find_element(By.CSS_SELECTOR, ".column .chip").click()
    wait_until(lambda: not chips(page), 60, "the search without days")
    assert [page.find_element(By.ID, name).get_attribute("value") for name in ("from", "until")] == ["", ""]

    column = found(page, "ka lopi 12.7.1950")
    assert "July 12, 1950: no photos." in column.text
    assert (chips(page), ids(column)) == (["July 12, 1950 ×"], [])


def test_names_are_shown_separated_and_removed(page, service):
    plain = ids(found(page, "ka lopi"))
    of_bodrum = {one for one in wanted(service, "ka lopi", "cs", PHOTOGRAPHS) if one not in of_july(service)}
    column = found(page, "ka lopi Bodrum")
    assert chips(page) == ["Bodrum ×"]
    assert column.find_elements(By.CLASS_NAME, "others") == []  # more than are shown
    assert set(ids(column)) < of_bodrum
    Select(page.find_element(By.ID, "top")).select_by_visible_text("24")
    wait_until(lambda: page.execute_script("return document.querySelectorAll('.shot').length") == 24, 60, "more")
    place, text, width = page.execute_script(
        "const items = [...document.querySelectorAll('.grid li')];"
        "const at = items.findIndex((item) => item.className === 'others');"
        "return [at, items[at].textContent, items[at].getBoundingClientRect().width]"
    )
    assert (place, text) == (len(of_bodrum), "Other photos")
    assert width > 600  # a line of its own
    page.find_element(By.CSS_SELECTOR, ".column .chip").click()
    wait_until(lambda: not chips(page), 60, "the search without names")
    assert page.find_elements(By.CLASS_NAME, "others") == []
    found(page, "ka lopi Bodrum")
    assert chips(page) == ["Bodrum ×"]  # another text
    assert ids(found(page, "ka lopi"))[:12] == plain


def test_a_reading_is_shown_and_undone(page, monkeypatch):
    """The fields of the answer, and of the request that follows it."""
    page.execute_script(
        "window.sent = []; const plain = window.fetch;"
        "window.fetch = async (address, options) => {"
        "  const answer = await plain(address, { ...options, body: options.body.replace(',\"exactly\":true', '') });"
        "  const body = JSON.parse(options.body); window.sent.push(body);"
        "  const document = await answer.json();"
        "  return { ok: answer.ok, json: () => ({ ...document, read_as: body.exactly ? [] : ['möchte', 'mochte'] }) };"
        "}"
    )
    column = found(page, "mochte", "de")
    assert "Read as möchte or mochte. Search exactly" in column.text.replace("\n", " ")
    column.find_element(By.CSS_SELECTOR, ".note .chip").click()
    shown = "return document.getElementById('results').textContent"
    wait_until(lambda: "Read as" not in page.execute_script(shown), 60, "the search for what was typed")
    assert [body.get("exactly", False) for body in page.execute_script("return window.sent")] == [False, True]
    found(page, "mochte mochte", "de")
    assert page.execute_script("return window.sent").pop().get("exactly", False) is False


def test_arrow_keys_go_to_the_photographs_after_a_search(page):
    def active():
        script = "return [...document.querySelectorAll('.shot')].indexOf(document.activeElement)"
        return page.execute_script(script)

    def press(*keys):
        ActionChains(page).send_keys(*keys).perform()
        return active()

    write(page, 0, "ka lopi", "cs").send_keys(Keys.ENTER)
    first_columns(page)
    assert press(Keys.ARROW_LEFT) == -1  # in the text
    assert press(Keys.ARROW_DOWN) == 0
    assert press(Keys.ARROW_RIGHT) == 1
    below = press(Keys.ARROW_DOWN)
    assert below > 1
    assert press(Keys.ARROW_UP) == 1
    assert press(Keys.ARROW_UP) == 1  # the first row
    search(page)
    page.execute_script("document.activeElement.blur()")
    assert press(Keys.ARROW_RIGHT) == 0


def test_a_picture_that_the_browser_cannot_show_is_searched_with(page, tmp_path, service):
    heif = pytest.importorskip("pillow_heif")
    source = service.photographs.index().paths[7]
    heif.from_pillow(Image.open(source).resize((64, 64), Image.Resampling.NEAREST)).save(
        tmp_path / "a.HEIC", quality=-1
    )
    (tmp_path / "b.heic").write_bytes(b"no picture")
    page.find_element(By.ID, "file").send_keys(str(tmp_path / "a.HEIC"))
    (column,) = first_columns(page)
    assert column.find_element(By.CLASS_NAME, "file").text == source.name
    assert column.find_element(By.TAG_NAME, "h2").text == "Like a.HEIC"
    page.find_element(By.ID, "file").send_keys(str(tmp_path / "b.heic"))
    status = page.find_element(By.ID, "status")
    wait_until(lambda: status.text == "b.heic cannot be read as a picture.", 60, "the refusal")
    page.get_log("browser")  # the browser notes the answer of 400


def test_the_page_has_slovak(browser, address):
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"accept-language": "sk-SK"}})
    try:
        browser.get(f"{address}/")
        wait_until(lambda: browser.find_element(By.ID, "about").text not in ("", "…"), 120, "the page's start")
        assert browser.title == "Hľadanie fotiek"
        assert browser.find_element(By.ID, "about").text == f"{PHOTOGRAPHS} fotiek. Jazyky: slovenčina."
    finally:
        browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})


def test_a_language_that_is_added_is_kept_by_the_browser_alone(page, address, service):
    page.execute_script("localStorage.setItem('pecl-languages', 'no JSON')")
    page.refresh()
    wait_until(lambda: rows(page), 120, "the page's start")
    kept = service.photographs.index().head.languages
    page.execute_script("document.getElementById('speak').focus()")
    ActionChains(page).send_keys("c").perform()  # opens the list, and chooses nothing
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    (chip,) = page.find_elements(By.CSS_SELECTOR, "#spoken .chip")
    assert not chip.is_enabled()  # the last language stays
    options = Select(page.find_element(By.ID, "speak"))
    assert "Cebuano" not in [one.text for one in options.options]  # no text shows it
    options.select_by_value("cs")
    assert service.photographs.index().head.languages == kept
    page.refresh()
    wait_until(lambda: "Czech" in page.find_element(By.ID, "about").text, 120, "the page's start")
    assert page.find_element(By.ID, "about").text == f"{PHOTOGRAPHS} photos. Search in English or Czech."
