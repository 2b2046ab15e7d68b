"""MetaCLIP 2: a causal transformer, pooled at the first end-of-text token.

Tokens behind that token never reach it, so a text is cut there and packed without a change of its embedding.
"""

from dataclasses import replace

from transformers import MetaClip2Model, MetaClip2TextModel

from pecl.encoders.families.pre_norm import PRE_NORM

METACLIP = replace(
    PRE_NORM, causal=True, encoder=MetaClip2TextModel, projection="text_projection", whole=MetaClip2Model
)
