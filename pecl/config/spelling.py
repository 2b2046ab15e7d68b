"""One spelling for each run: `--rank 4` and `lora:r=4`, or `mse:1` and `mse`, are one run and have one run id.

Only texts are compared, since configs need no torch: what an adapter's other options mean is not known here.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pecl.options import split_unquoted

LORA_RANK = 8  # of a LoRA without a rank of its own
_LORA = ("lora", "lora-only")
_RANK = re.compile(r"\s*r\s*=\s*([1-9][0-9]*)\s*")
_LAYERS = re.compile(r"\s*layers\s*=\s*(top-[1-9][0-9]*)\s*")


def one_spelling(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a config as its run id spells them. Wrong values stay as they are, for the check."""
    spelled = {"adapter": "lora", "rank": None, "adapter_layers": None, **values}
    alignment = spelled.get("alignment")
    if isinstance(alignment, str):
        spelled["alignment"] = "+".join(map(_spell_loss, alignment.split("+")))

    if isinstance(spelled["adapter"], str):
        spelled |= _spell_layers(spelled["adapter"], spelled["adapter_layers"])
        spelled |= _spell_rank(spelled["adapter"], spelled["rank"])

    return spelled


def _spell_loss(term: str) -> str:
    """Return a loss without a weight of 1, or with the shortest text of its weight: `match:0.10` is `match:0.1`."""
    name, _, text = term.partition(":")
    try:
        weight = float(text)
    except ValueError:  # no weight, or a wrong one
        return term

    if weight == 1:
        return name
    return f"{name}:{str(weight).removesuffix('.0')}"


def _spell_layers(adapter: str, layers: Any) -> dict[str, Any]:
    """Return adapter and layers; the layers of an adapter of one part are not in its text."""
    if len(split_unquoted(adapter, "+")) == 1:
        name, options = _parsed(adapter)
        spec_layers, other_options = _take(options, _LAYERS)
        if spec_layers is not None:
            if layers is None:
                layers = spec_layers
            return {"adapter": _joined(name, other_options), "adapter_layers": layers}

    return {"adapter": adapter, "adapter_layers": layers}


def _spell_rank(adapter: str, rank: Any) -> dict[str, Any]:
    """Return adapter and rank: the rank of a LoRA with other options is in its text, any other is in `rank`.

    The default rank is in neither.
    """
    unchanged = {"adapter": adapter, "rank": rank}
    parts = split_unquoted(adapter, "+")
    indices = [index for index, part in enumerate(parts) if _parsed(part)[0] in _LORA]
    if len(indices) != 1 or not (rank is None or (type(rank) is int and rank > 0)):
        return unchanged

    name, options = _parsed(parts[indices[0]])
    spec_rank, other_options = _take(options, _RANK)
    if rank is None and spec_rank is not None:
        rank = int(spec_rank)

    if rank == LORA_RANK:
        rank = None

    if other_options and rank is not None:
        other_options = [f"r={rank}", *other_options]
        rank = None

    parts[indices[0]] = _joined(name, other_options)
    return {"adapter": "+".join(parts), "rank": rank}


def _parsed(part: str) -> tuple[str, list[str]]:
    """Return the name and the options of a part of an adapter's text."""
    name, _, options = part.partition(":")
    return name.strip(), split_unquoted(options, ",") if options else []


def _joined(name: str, options: Sequence[str]) -> str:
    return f"{name}:{','.join(options)}" if options else name


def _take(options: Sequence[str], pattern: re.Pattern[str]) -> tuple[str | None, list[str]]:
    """Return the value of the only option that matches a pattern, or None, and the other options."""
    matches = [match for option in options if (match := pattern.fullmatch(option))]
    if len(matches) != 1:
        return None, list(options)
    return matches[0].group(1), [option for option in options if option != matches[0].group(0)]
