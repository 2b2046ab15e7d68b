"""`pecl recipes`: list the recipes, their BibTeX entries, or the details of some."""

import argparse
from typing import Any

from pecl.commands import options as cli
from pecl.config.recipes import RECIPES, Recipe
from pecl.errors import ConfigError, unknown


@cli.command(
    "pecl recipes relations unpaired",
    cli.argument("names", "name of a recipe, such as distil", nargs="*", metavar="RECIPE"),
    cli.argument("--bibtex", "print the BibTeX entry of each recipe", action="store_true"),
    cli.JSON,
)
def run(parsed: argparse.Namespace) -> None:
    """List recipes: the text that a language needs, what student and teacher embed, and the loss."""
    for name in parsed.names:
        if name not in RECIPES:
            raise ConfigError(unknown("recipe", name, RECIPES))

    recipes = {name: RECIPES[name] for name in parsed.names or RECIPES}
    if parsed.bibtex:
        text = "\n\n".join(dict.fromkeys(recipe.bibtex for recipe in recipes.values() if recipe.bibtex))
    elif parsed.names:
        text = "\n\n".join(cli.in_columns(_lines(name, recipe)) for name, recipe in recipes.items())
    else:
        text = cli.in_columns([(name, recipe.summary) for name, recipe in recipes.items()])
    cli.print_answer(parsed, [_document(name, recipe) for name, recipe in recipes.items()], text)


def _lines(name: str, recipe: Recipe) -> list[tuple[str, str]]:
    values = ", ".join(f"{field} {value}" for field, value in recipe.values.items())
    lines = [
        (name, recipe.summary),
        ("text", recipe.text),
        ("student", ", ".join(recipe.student)),
        ("teacher", ", ".join(recipe.teacher)),
        ("loss", recipe.loss),
        ("sets", values),
    ]
    return [line for line in lines if line[1]]


def _document(name: str, recipe: Recipe) -> dict[str, Any]:
    return {
        "name": name,
        "summary": recipe.summary,
        "text": recipe.text,
        "student": list(recipe.student),
        "teacher": list(recipe.teacher),
        "loss": recipe.loss,
        "values": dict(recipe.values),
        "bibtex": recipe.bibtex,
    }
