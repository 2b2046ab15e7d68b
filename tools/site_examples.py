"""Griffe extension: show the section `Example:` of a docstring as code, like `Examples:`."""

from typing import Any

import griffe


class Examples(griffe.Extension):
    """Read `Example:` as examples; plain griffe reads it as a note."""

    def on_instance(self, *, obj: griffe.Object | griffe.Alias, **_: Any) -> None:
        """Rename the section of one object's docstring."""
        if obj.docstring is not None:
            lines = obj.docstring.value.split("\n")
            obj.docstring.value = "\n".join("Examples:" if line.strip() == "Example:" else line for line in lines)
