"""The English teacher: CLIP's own text tower, frozen, for anchors and for distillation.

It is a text tower like any other: a causal transformer, the vector of the last token (CLIP's end of text), a linear
layer. Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021, section 2.4.
"""

from pathlib import Path
from typing import cast

import torch
from transformers import CLIPTextModelWithProjection

from pecl.encoders.loading.hub import resolve
from pecl.encoders.loading.text import read_tokenizer
from pecl.encoders.loading.weights import build_model, read_config, read_state_dict
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import WeightsError

TEACHER_OPTION = "a folder in its place"
TEACHERS = (
    "openai/clip-vit-large-patch14",
    "openai/clip-vit-large-patch14-336",
    "openai/clip-vit-base-patch32",
    "openai/clip-vit-base-patch16",
)
IMAGE_HALF = ("vision_model.", "visual_projection.", "logit_scale")


def load_teacher(
    name_or_path: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> MultilingualTextEncoder:
    """Load the text half of a CLIP checkpoint.

    Args:
        name_or_path: hub id, such as one of `TEACHERS`, or local folder: that of the image tower, so that the
            teacher's embeddings lie in its space.
        device: where the weights go.
        dtype: type of the weights.

    Raises:
        WeightsError: the checkpoint cannot be fetched, is incomplete, damaged, or no CLIP.

    Example:
        >>> teacher = load_teacher("openai/clip-vit-large-patch14")
        >>> teacher.encode_text(["a dog"]).shape
        torch.Size([1, 768])
    """
    folder = resolve(name_or_path, TEACHER_OPTION, TEACHERS)
    config = read_config(folder)
    if config.model_type not in ("clip", "clip_text_model"):
        raise WeightsError(f"{folder} holds the architecture {config.model_type!r}, expected clip")
    text_config = getattr(config, "text_config", config)
    text_config.projection_dim = config.projection_dim
    state = {name: tensor for name, tensor in read_state_dict(folder).items() if not name.startswith(IMAGE_HALF)}
    model = cast(
        CLIPTextModelWithProjection, build_model(CLIPTextModelWithProjection, text_config, state, folder, dtype)
    )
    tower = MultilingualTextEncoder(
        model.text_model,
        read_tokenizer(folder, text_config),
        model.text_projection,
        name=str(name_or_path),
        max_length=text_config.max_position_embeddings,
        pooling="lasttoken",
    )
    return tower.to(device)
