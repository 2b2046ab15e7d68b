"""Losses on tensors: image and query, and losses that align query and anchor (arXiv 2305.03510, section 3).

Each takes embeddings (B, D), not normalised, and returns a scalar. Rows with the same index belong together.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, TypeVar, cast

import torch
from torch import nn
from torch.nn import functional as F

from pecl.config import LOSSES, WITH_BANK
from pecl.errors import ConfigError, not_none

T = TypeVar("T")

# Columns of a route
QUERY = "query"
ANCHOR = "anchor"
IMAGES = "images"
CAPTIONS = "captions"  # of photographs that are trained on next to text
BANK = "bank"  # (M, D) frozen anchors, whole in every step


@dataclass(frozen=True)
class Views:
    """What a loss gets of one step: embeddings (b, D) by column."""

    student: Mapping[str, torch.Tensor]  # by the tower with its adapter, with gradients
    teacher: Mapping[str, torch.Tensor]  # of the frozen towers


@dataclass(frozen=True)
class ContrastiveLoss:
    """Symmetric in-batch cross-entropy: 1/2 [CE(s a b^T, I) + CE(s b a^T, I)] with L2-normalised a and b.

    The inverse temperature s, `logit_scale`, is fixed.
    """

    logit_scale: float = 100.0

    def __call__(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return the loss of two sets of embeddings, each (B, D)."""
        logits = self.logit_scale * F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T  # (B, B)
        labels = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def mse(
    query: torch.Tensor,
    anchor: torch.Tensor,
    images: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the mean over all elements of the squared difference of un-normalised embeddings (B, D)."""
    return F.mse_loss(query, anchor)


def cosine(
    query: torch.Tensor,
    anchor: torch.Tensor,
    images: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return 1 minus the mean cosine of query and anchor (B, D)."""
    return 1 - F.cosine_similarity(query, anchor, dim=-1).mean()


def gram_mse(
    query: torch.Tensor,
    anchor: torch.Tensor,
    images: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the mean squared difference of the Gram matrices (B, B) of L2-normalised embeddings.

    The structure loss of M2M alignment (arXiv 2601.10096): similar anchors have similar queries.
    """
    q = F.normalize(query, dim=-1)
    a = F.normalize(anchor, dim=-1)
    return F.mse_loss(q @ q.T, a @ a.T)


MATCH_TEMPERATURE = 0.05


def match(
    query: torch.Tensor,
    anchor: torch.Tensor,
    images: torch.Tensor | None = None,
    bank: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the mean KL divergence of the queries' similarities to a frozen bank from the anchors'.

    KL(softmax(a K^T / tau) || softmax(q K^T / tau)) with L2-normalised q, a (B, D) and bank K (M,
    D), tau = 0.05: relational distillation as in SEED (Fang et al., ICLR 2021, equation 3), with a
    fixed bank. Without a bank, the anchors of the batch take its place.
    """
    keys = F.normalize(anchor if bank is None else bank, dim=-1)
    student = F.log_softmax(F.normalize(query, dim=-1) @ keys.T / MATCH_TEMPERATURE, dim=-1)  # (B, M)
    teacher = F.log_softmax(F.normalize(anchor, dim=-1) @ keys.T / MATCH_TEMPERATURE, dim=-1)  # (B, M)
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def contrastive(
    query: torch.Tensor,
    anchor: torch.Tensor,
    images: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the contrastive loss of query and anchor (B, D), at the logit scale 100."""
    return ContrastiveLoss()(query, anchor)


LOSSES.fill(
    {
        "mse": mse,
        "contrastive": contrastive,
        "cosine": cosine,
        "gram_mse": gram_mse,
        "match": match,
    }
)


def register_loss(name: str, *, replace: bool = False) -> Callable[[T], T]:
    """Return a decorator that registers a loss under a name for configs: `alignment="gram"` or `"mse+gram"`.

    The loss is a function `loss(query, anchor, images)`, or a class without arguments whose
    instances are such functions. It takes embeddings (B, D), not normalised, and returns a scalar.
    `images` is None in text-only training. Each slot has an instance of its own. A loss with state
    is a `torch.nn.Module`: its parameters are trained, and they and its buffers are saved with the
    run. A change of any other attribute is refused.

    In a plug-in (`--plugin my.py`, `pecl.load_plugin`), the name is registered in the workers of a
    grid, too, and results record the SHA-256 of the file. A loss registered elsewhere exists only
    in this process, and results record a digest of its file, see `pecl.config.code_digest`. Either
    way, a run of changed code is trained again.

    Args:
        name: letters, digits and underscores.
        replace: replace a loss that was registered under this name, as when a notebook cell runs again.

    Raises:
        ConfigError: the name has other characters or is taken, or the loss takes other arguments.

    Example:
        >>> @register_loss("gram")
        ... def gram(query, anchor, images=None):
        ...     return (query @ query.T - anchor @ anchor.T).square().mean()
    """

    def decorate(function: T) -> T:
        loss = cast("Callable[..., torch.Tensor]", _own_loss(function))
        try:
            signature(loss.forward if isinstance(loss, nn.Module) else loss).bind(None, None, None)
        except TypeError as error:
            raise ConfigError(f'loss: expected "{name}" to take (query, anchor, images): {error}') from error
        LOSSES.add(name, function, replace=replace)
        return function

    return decorate


def _own_loss(registered: Any) -> Any:
    """Return a loss of its own for one slot: functions have no state, classes and modules may."""
    if isinstance(registered, type):
        return registered()
    return copy.deepcopy(registered) if isinstance(registered, nn.Module) else registered


class Objective(nn.Module):
    """total = image_weight * contrastive(image, query) + alignment_weight * weighted sum of losses(query, anchor).

    Args:
        losses: names from `config.LOSSES`; their values are added.
        alignment_weight: lambda.
        image_weight: 1 in the paper; 0 trains on text only.
        logit_scale: inverse temperature of the image-query term.
        weights: weight of each loss; all 1 by default.
    """

    def __init__(
        self,
        losses: Sequence[str] = ("mse",),
        alignment_weight: float = 0.03,
        image_weight: float = 1.0,
        logit_scale: float = 100.0,
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.names = list(losses)
        made = {name: _own_loss(LOSSES[name]) for name in losses}
        self.modules_by_name = nn.ModuleDict({name: loss for name, loss in made.items() if isinstance(loss, nn.Module)})
        self.functions = {name: loss for name, loss in made.items() if not isinstance(loss, nn.Module)}
        self.alignment_weight = alignment_weight
        self.image_weight = image_weight
        self.logit_scale = logit_scale
        self.weights = list(weights or (1.0,) * len(losses))

    def forward(
        self,
        query: torch.Tensor,
        anchor: torch.Tensor | None,
        images: torch.Tensor | None,
        captions: torch.Tensor | None = None,
        bank: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the loss of a batch.

        Args:
            query: (B, D) embeddings of the queries.
            anchor: (B, D) of the anchors, or None in a route without one.
            images: (B, D) of the images, or None when `image_weight` is 0.
            captions: (P, D) of the images' captions if the images (P, D) are not those of the queries.
            bank: (M, D) frozen embeddings for losses in `WITH_BANK`.
        """
        loss = query.new_zeros(())
        if self.image_weight:
            of_images = query if captions is None else captions
            loss = loss + self.image_weight * ContrastiveLoss(self.logit_scale)(not_none(images, "images"), of_images)

        if anchor is not None:
            for name, weight in zip(self.names, self.weights, strict=True):
                function = self.functions[name] if name in self.functions else self.modules_by_name[name]
                of_bank = (bank,) if name in WITH_BANK else ()
                value = function(query, anchor, images if captions is None else None, *of_bank)
                shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
                if shape != ():
                    raise ConfigError(f'loss: expected "{name}" to return a scalar, a tensor of shape (), got {shape}')
                loss = loss + self.alignment_weight * weight * value

        return loss


class RouteLoss(nn.Module):
    """The objective of a route, on the embeddings of its columns."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, views: Views) -> torch.Tensor:
        """Return the loss of a batch."""
        anchor = views.student.get(ANCHOR, views.teacher.get(ANCHOR))
        images = views.teacher.get(IMAGES)
        captions = views.student.get(CAPTIONS)
        return self.objective(views.student[QUERY], anchor, images, captions, views.teacher.get(BANK))
