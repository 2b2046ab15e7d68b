"""The choice of a pass: one table, whose first row that applies decides."""

from pecl.encoders.batches import MAX_PADDING
from pecl.encoders.passes.cached import packed_from_cache, padded_from_cache, pooled_from_cache
from pecl.encoders.passes.inputs import Pass, PassInputs, PassTower
from pecl.encoders.passes.packed import packed
from pecl.encoders.passes.padded import padded
from pecl.encoders.passes.prompted import prompted


def choose_pass(tower: PassTower, inputs: PassInputs) -> Pass:
    """Return the pass for a batch: that of the tower's runtime, if it has one, else the first that applies.

    A tower has a cache only if its adapter changes no layer below the cached one, so prompts and
    caches exclude each other. Dropout changes the cached states, so a tower in training mode, which
    draws dropout, ignores the cache; steps without dropout use it. Packing pays only if more than
    `MAX_PADDING` of the positions are padding; cached states are packed already.
    """
    runtime = tower.active_runtime
    if runtime is not None:
        return runtime

    has_prompts = tower.adapter is not None and tower.adapter.has_prompts
    cache = None if tower.training else tower.cached_layers
    has_cache = cache is not None
    has_much_padding = inputs.tokens < (1 - MAX_PADDING) * inputs.attention_mask.numel()

    table: tuple[tuple[bool, Pass], ...] = (
        (has_prompts, prompted),
        (has_cache and cache.pools, pooled_from_cache),
        (has_cache and tower.may_pack, packed_from_cache),
        (has_cache, padded_from_cache),
        (has_much_padding and tower.may_pack, packed),
        (True, padded),
    )

    return next(chosen for applies, chosen in table if applies)
