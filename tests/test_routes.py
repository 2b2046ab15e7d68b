import pytest

from pecl.config.routes import ROUTES, route
from pecl.errors import ConfigError

TARGET, TO_ENGLISH, FROM_ENGLISH, ENGLISH = "target", "target_to_english", "english_to_target", "english"


@pytest.mark.parametrize(
    ("name", "query", "anchor", "translations"),
    [
        ("baseline1", TARGET, None, ()),
        ("baseline2", TO_ENGLISH, None, (TO_ENGLISH,)),
        ("method1", TARGET, ENGLISH, ()),
        ("method2", TARGET, FROM_ENGLISH, (FROM_ENGLISH,)),
        ("method3", TO_ENGLISH, ENGLISH, (TO_ENGLISH,)),
    ],
)
def test_the_five_routes_train_and_test_on_the_same_side(name, query, anchor, translations):
    found = route(name)
    assert (found.query, found.anchor, found.test_query) == (query, anchor, query)
    assert found.translations == translations


def test_the_released_pairing_swaps_the_test_side():
    assert route("method1", "official-run-cross").test_query == TO_ENGLISH
    assert route("method1", "official-run-cross").translations == (TO_ENGLISH,)
    assert route("method3", "official-run-cross").test_query == TARGET
    with pytest.raises(ConfigError, match="with test_query official-run-cross, got 'method2'"):
        route("method2", "official-run-cross")


def test_unknown_names_list_the_valid_ones_and_the_nearest():
    with pytest.raises(
        ConfigError, match=r"unknown route 'metod1': expected one of baseline1, .*did you mean 'method1'"
    ):
        route("metod1")
    with pytest.raises(ConfigError, match="unknown test_query"):
        route("method1", "both")


def test_there_are_five():
    assert len(ROUTES) == 5
