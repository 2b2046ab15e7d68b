"""Extension of griffe: the section `Example:` of a docstring is code on the site, as `Examples:` is."""

from typing import Any

import griffe


class Examples(griffe.Extension):
    """Reads `Example:`, which griffe takes for a note, as its own section of examples."""

    def on_instance(self, *, obj: griffe.Object | griffe.Alias, **_: Any) -> None:
        """Rename the section of one object's docstring."""
        if obj.docstring is not None:
            lines = obj.docstring.value.split("\n")
            obj.docstring.value = "\n".join("Examples:" if line.strip() == "Example:" else line for line in lines)
