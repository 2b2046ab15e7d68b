"""Combinations of adapters that exclude each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from pecl.errors import ConfigError

if TYPE_CHECKING:
    from pecl.adapters.kind import AdapterConfig
    from pecl.adapters.kinds.bitfit import BitFitConfig
    from pecl.adapters.kinds.layer_norm import LayerNormConfig


def check_combination(configs: Sequence[AdapterConfig]) -> None:
    """Refuse configs that cannot work together.

    Raises:
        ConfigError: a kind is given twice, `full` is next to other parameters, or two kinds train the same biases.
    """
    if not configs:
        raise ConfigError("adapter: expected at least one kind, such as lora, got none")
    by_kind = {config.kind: config for config in configs}
    if len(by_kind) < len(configs):
        twice = Counter(config.kind for config in configs).most_common(1)[0][0]
        raise ConfigError(f"adapter: expected each kind once, got {twice} twice")
    others = [kind for kind in by_kind if kind not in ("full", "hard_prompt")]
    if "full" in by_kind and others:
        raise ConfigError(f"full and {others[0]} exclude each other: full trains every weight of the tower already")
    if "bitfit" in by_kind and "layernorm" in by_kind:
        norms, biases = cast("LayerNormConfig", by_kind["layernorm"]), cast("BitFitConfig", by_kind["bitfit"])
        shared = [role for role in norms.target_modules if role in biases.target_modules]
        if shared:
            raise ConfigError(
                f"bitfit and layernorm exclude each other at {'/'.join(shared)}, whose biases both train: leave one "
                "out (lora, bottleneck and compacter bring layernorm; lora-only and so on do not)"
            )
