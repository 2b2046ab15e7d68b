"""The five routes of translation-based alignment as one table (arXiv 2305.03510, section 3, numbered as released).

A route determines which caption column is the *query* (trained on, validated on and tested on) and which
is the *anchor* that the query is aligned to.
"""

from dataclasses import dataclass

from pecl.errors import ConfigError, unknown


@dataclass(frozen=True)
class TranslationRoute:
    """Columns of `ParallelCaptions` by name."""

    query: str  # trained on and validated on
    anchor: str | None  # the query is aligned to it
    test_query: str  # tested on; equal to `query` unless test_query is official-run-cross


# name -> (query, anchor)
ROUTES: dict[str, tuple[str, str | None]] = {
    "baseline1": ("target", None),
    "baseline2": ("target_to_english", None),
    "method1": ("target", "english"),
    "method2": ("target", "english_to_target"),
    "method3": ("target_to_english", "english"),
}

# Routes that align their query to nothing
WITHOUT_ANCHOR = tuple(name for name, (_, anchor) in ROUTES.items() if anchor is None)

# The released run_cross.py pairs routes and test queries the other way round. It has no test query
# for method2.
OFFICIAL_RUN_CROSS: dict[str, str] = {
    "baseline1": "target_to_english",
    "method1": "target_to_english",
    "baseline2": "target",
    "method3": "target",
}
TEST_QUERIES = ("train-side", "official-run-cross")


def route(name: str, test_query: str = "train-side") -> TranslationRoute:
    """Return the route `name`; `test_query` is one of `TEST_QUERIES`.

    Raises:
        ConfigError: no such route or pairing.
    """
    if name not in ROUTES:
        raise ConfigError(unknown("route", name, ROUTES))

    query, anchor = ROUTES[name]
    if test_query == "train-side":
        return TranslationRoute(query, anchor, query)
    if test_query != "official-run-cross":
        raise ConfigError(unknown("test_query", test_query, TEST_QUERIES))

    if name not in OFFICIAL_RUN_CROSS:
        expected = ", ".join(OFFICIAL_RUN_CROSS)
        raise ConfigError(f"expected one of {expected} with test_query official-run-cross, got {name!r}", field="route")

    return TranslationRoute(query, anchor, OFFICIAL_RUN_CROSS[name])
