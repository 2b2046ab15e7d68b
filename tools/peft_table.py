"""Generate the table of PEFT's methods in docs/peft.md.

python tools/peft_table.py            print it as Markdown
python tools/peft_table.py --write    write it into the page, between its marks
"""

from __future__ import annotations

from marked import ROOT, main, table

from pecl.adapters.peft.method import PeftMethod
from pecl.adapters.peft.methods import REFUSED, config_classes
from pecl.apps.commands.adapters import count_on_large

PAGE = ROOT / "docs" / "peft.md"


def methods() -> str:
    """Return the methods that work, with their default options."""
    rows = []
    for name in sorted(config_classes().keys() - REFUSED.keys()):
        method = PeftMethod(name)
        count = count_on_large([method])
        roles = ", ".join(f"`{role}`" for role in method.roles()["target_modules"])
        rows.append([f"`{name}`", "" if count is None else f"{count:,}", roles])
    return table(["method", "parameters", "modules"], rows)


def refused() -> str:
    """Return the methods that cannot work, with the reason and the nearest adapter."""
    rows = ([f"`{name}`", reason, f"`{nearest}`"] for name, (reason, nearest) in sorted(REFUSED.items()))
    return table(["method", "it", "nearest"], rows)


if __name__ == "__main__":
    main(__doc__, PAGE, {"methods": methods, "refused": refused})
