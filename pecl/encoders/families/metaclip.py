"""MetaCLIP 2: a causal transformer, pooled at the first end-of-text token.

Tokens behind that token never reach it, so a text is cut there and packed without a change of its embedding.
"""

from __future__ import annotations

from transformers import MetaClip2TextModel

from pecl.encoders.families import pre_norm
from pecl.encoders.families.family import TextFamily

METACLIP = TextFamily(
    layers=pre_norm.LAYERS,
    in_layer=pre_norm.IN_LAYER,
    at_top=pre_norm.AT_TOP,
    embed=pre_norm.embed,
    final_norm=pre_norm.FINAL_NORM,
    causal=True,
    pooling="lasttoken",
    encoder=MetaClip2TextModel,
    projection="text_projection",
)
