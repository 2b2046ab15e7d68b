"""The page of results in a real browser: sorting, filtering, another language, the keyboard; nothing is fetched."""

import pytest
from helpers.browser import requests_of
from helpers.made_results import trained_results, write_table
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from pecl.report.page import write_page
from pecl.report.plots import draw_plots
from pecl.report.tables import report

INJECTED = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> \"Hund\" & 'Katze'"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    table = write_table(folder / "data", special={i: f"{INJECTED} {i}" for i in range(0, 60, 2)})
    return trained_results(table, folder, {}, {"language": "cs"}, {"lr": 5e-5}, {"lr": 0.1})


@pytest.fixture(scope="module")
def address(results, tmp_path_factory):
    return write_page(
        tmp_path_factory.mktemp("html"), results, report(results), draw_plots(results), captions=1000
    ).as_uri()


@pytest.fixture
def page(browser, address):
    requests_of(browser)
    browser.get_log("browser")
    browser.get(address)
    yield browser
    assert browser.get_log("browser") == []  # no error, no warning
    asked = [url for url in requests_of(browser) if not url.startswith("data:")]
    assert {url.partition("#")[0] for url in asked} <= {address}


def expected(results, language, kind, k):
    """Return how many test captions of a language gained, lost or stayed, from the ranks in its result."""
    result = next(result for result in results if result.config.language == language and result.config.lr == 1e-2)
    before, after = (result.ranks("text_to_image", stage=stage) for stage in ("zero_shot", "best"))
    pairs = zip(before, after, strict=True)
    found = [(before <= k, after <= k) for before, after in pairs]
    return {
        "gained": found.count((False, True)),
        "lost": found.count((True, False)),
        "unchanged": found.count((True, True)) + found.count((False, False)),
    }[kind]


def cards(page):
    return page.find_elements(By.CSS_SELECTOR, "#cards .card")


def column(page, caption, name):
    table = next(
        t
        for t in page.find_elements(By.CSS_SELECTOR, "table")
        if t.find_element(By.TAG_NAME, "caption").text == caption
    )
    headings = table.find_elements(By.CSS_SELECTOR, "thead th")
    place = next(i for i, heading in enumerate(headings) if heading.text.startswith(name))

    def values():
        return [
            row.find_elements(By.TAG_NAME, "td")[place].text for row in table.find_elements(By.CSS_SELECTOR, "tbody tr")
        ]

    return headings[place], values


def test_a_click_sorts_by_number_and_another_the_other_way_round(page):
    heading, values = column(page, "All runs", "lr")
    heading.find_element(By.TAG_NAME, "button").click()
    assert values() == ["0.1", "0.01", "0.01", "5e-05"]  # as text, 5e-05 would come first
    assert heading.get_attribute("aria-sort") == "descending"
    heading.find_element(By.TAG_NAME, "button").click()
    assert values() == ["5e-05", "0.01", "0.01", "0.1"]
    assert heading.get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize(("kind", "k"), [("gained", 1), ("lost", 5), ("unchanged", 5)])
def test_filters_show_as_many_cards_as_the_ranks_say(page, results, kind, k):
    Select(page.find_element(By.ID, "language")).select_by_value("cs")
    Select(page.find_element(By.ID, "found")).select_by_value(str(k))
    button = page.find_element(By.CSS_SELECTOR, f"[data-filter={kind}]")
    button.click()
    number = expected(results, "cs", kind, k)
    assert len(cards(page)) == number
    assert button.get_attribute("aria-pressed") == "true"
    assert f"{number} {kind}" in page.find_element(By.ID, "status").text
    assert all(kind in card.text for card in cards(page))


def test_another_language_shows_its_captions(page):
    select = Select(page.find_element(By.ID, "language"))
    assert [option.text for option in select.options] == ["Czech (cs)", "German (de)"]
    for code in ("de", "cs"):
        select.select_by_value(code)
        headings = page.find_elements(By.CSS_SELECTOR, "#cards h3")
        assert len(headings) == 40
        assert {heading.get_attribute("lang") for heading in headings} == {code}
        assert any(heading.text.startswith(f"{code} caption number") for heading in headings)


def test_a_caption_with_a_script_is_text(page):
    shown = [heading.text for heading in page.find_elements(By.CSS_SELECTOR, "#cards h3")]
    assert sum(INJECTED in text for text in shown) >= 10
    assert page.title == "pecl: results"
    assert page.find_elements(By.CSS_SELECTOR, "#cards script, #cards img[onerror]") == []


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_no_wider_than_its_window(browser, page, width):
    browser.set_window_size(width, 800)
    assert page.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    browser.set_window_size(1280, 900)


def test_keys_go_from_caption_to_caption_and_to_the_search(page):
    for key, place in (("j", 0), ("j", 1), ("k", 0), ("k", 0)):
        page.switch_to.active_element.send_keys(key)
        assert page.switch_to.active_element == cards(page)[place]
    page.switch_to.active_element.send_keys("/")
    assert page.switch_to.active_element.get_attribute("id") == "search"
    page.switch_to.active_element.send_keys("j")  # a letter of what is searched for
    assert page.find_element(By.ID, "search").get_attribute("value") == "j"
