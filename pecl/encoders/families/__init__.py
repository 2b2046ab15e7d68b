"""Architectures of text towers, one file each, and the table of them by `model_type` of the backbone's config.

A new architecture is a file with a `TextFamily` and a row in `FAMILIES`.
"""

from transformers import PretrainedConfig, PreTrainedModel

from pecl.encoders.families.bert import BERT
from pecl.encoders.families.distilbert import DISTILBERT
from pecl.encoders.families.family import TextFamily
from pecl.encoders.families.nllb import NLLB
from pecl.encoders.families.pre_norm import METACLIP
from pecl.encoders.families.siglip import SIGLIP

FAMILIES: dict[str, TextFamily] = {
    "bert": BERT,  # LaBSE is a BERT
    "roberta": BERT,
    "xlm-roberta": BERT,
    "distilbert": DISTILBERT,
    "m2m_100": NLLB,
    "metaclip_2_text_model": METACLIP,
    "siglip_text_model": SIGLIP,
}


def family_of(config: PretrainedConfig) -> TextFamily | None:
    """Return the family of encoders of `config`; None for an architecture that pecl runs only as a whole."""
    return FAMILIES.get(config.model_type)


def finish_backbone(backbone: PreTrainedModel) -> None:
    """Apply the changes of its family to a newly built backbone."""
    family = family_of(backbone.config)
    if family is not None and family.prepare is not None:
        family.prepare(backbone)
