"""Recipes with a loss of their own, and `register_recipe` for further ones. `config/recipes` has the table.

The loss of a recipe is a `torch.nn.Module`. `forward(views)` returns a scalar from the embeddings of
one step: `views.student["target"]` (b, D) by the tower with its adapter, `views.teacher["english"]`
(b, D) by the frozen tower. Its parameters are trained at the rate of the run. Parameters and buffers
are saved with the run; each slot has its own.
"""

from collections.abc import Callable, Mapping, Sequence
from inspect import getdoc, signature
from typing import Any, TypeVar, cast

import torch
from torch import nn
from torch.nn import functional as F

from pecl.config import ExperimentConfig
from pecl.config.recipes import IMAGES, MEMORY, PAIRS, RECIPES, Recipe
from pecl.data.captions import COLUMNS
from pecl.errors import ConfigError, unknown
from pecl.training.losses import Views

T = TypeVar("T")


def register_recipe(
    name: str,
    *,
    student: Sequence[str] = ("target",),
    teacher: Sequence[str] = ("english",),
    text: str = PAIRS,
    values: Mapping[str, Any] | None = None,
    bibtex: str = "",
    replace: bool = False,
) -> Callable[[T], T]:
    """Return a decorator that registers a recipe: `pecl train --recipe NAME`, `pecl.train({"recipe": NAME})`.

    It decorates a `torch.nn.Module` class, called with the config and the width of the embeddings,
    whose `forward(views)` returns a scalar from `views.student` and `views.teacher`. The first line
    of its docstring describes it in `pecl recipes`. As for `register_loss`, a run of changed code is trained again.

    Args:
        name: letters, digits and underscores.
        student: columns of the text that the tower with its adapter embeds in each step: target,
            english, target_to_english, english_to_target.
        teacher: columns that the frozen tower embeds; `images`; `memory`, the English captions of
            `--memory`, all of them in each step.
        text: the text that a language needs, in words.
        values: config fields that it sets; a config may override them.
        bibtex: the entry of the publication.
        replace: replace a recipe that was registered under this name.

    Raises:
        ConfigError: the name is taken, a column is unknown, or the class takes other arguments.

    Example:
        >>> @pecl.register_recipe("direction", values={"image_weight": 0.0})
        ... class Direction(torch.nn.Module):
        ...     def __init__(self, config, dim):
        ...         super().__init__()
        ...
        ...     def forward(self, views):
        ...         return 1 - torch.cosine_similarity(views.student["target"], views.teacher["english"]).mean()
    """
    for columns, known in ((student, COLUMNS), (teacher, (*COLUMNS, IMAGES, MEMORY))):
        for column in columns:
            if column not in known:
                raise ConfigError(f"recipe: {unknown('column', column, known)}")
    if not student:
        raise ConfigError("recipe: expected at least one column that the student embeds, got none")

    def decorate(made: T) -> T:
        loss = cast("type[nn.Module]", made)
        try:
            signature(loss).bind(None, None)
            signature(loss.forward).bind(None, None)
        except (TypeError, AttributeError) as error:
            raise ConfigError(
                f'recipe: expected "{name}" to be a torch.nn.Module class with __init__(config, dim) and '
                f"forward(views): {error}"
            ) from error

        summary = (getdoc(loss) or name).splitlines()[0]
        views = tuple(student), tuple(teacher)
        recipe = Recipe(summary, text, *views, loss.__name__, dict(values or {}), bibtex, loss)
        RECIPES.add(name, recipe, replace=replace)
        return made

    return decorate


class BothLanguages(nn.Module):
    """Mean squared errors of the translation and of the English text to the frozen English embedding."""

    def __init__(self, config: ExperimentConfig, dim: int) -> None:
        super().__init__()
        self.weight = config.alignment_weight

    def forward(self, views: Views) -> torch.Tensor:
        """Return the weighted sum of both errors."""
        target = views.teacher["english"]
        return self.weight * (
            F.mse_loss(views.student["target"], target) + F.mse_loss(views.student["english"], target)
        )


class Relations(nn.Module):
    """Divergence of the similarities within a batch from the teacher's, and the mean squared error.

    KL(softmax(s a a^T) || softmax(s q a^T)) with L2-normalised q and a, and s = 20.
    """

    def __init__(self, config: ExperimentConfig, dim: int) -> None:
        super().__init__()
        self.weight = config.alignment_weight
        self.scale = 20.0

    def forward(self, views: Views) -> torch.Tensor:
        """Return the loss of a batch."""
        query, anchor = views.student["target"], views.teacher["english"]
        q, a = F.normalize(query, dim=-1), F.normalize(anchor, dim=-1)
        student = F.log_softmax(self.scale * q @ a.T, dim=-1)  # (B, B)
        teacher = F.log_softmax(self.scale * a @ a.T, dim=-1)  # (B, B)
        relations = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
        return self.weight * (relations + F.mse_loss(query, anchor))


class Unpaired(nn.Module):
    """Contrastive loss and cosine distance to pseudo-targets, which are mixtures of an English memory.

    The weights of a mixture are softmax(cos(t - mean t, m - mean m) / .02) with the frozen embedding
    t of a text and the English embeddings m. The mean of t is over the texts of the steps so far: it
    is state. The temperature of the contrastive loss is learned.
    """

    def __init__(self, config: ExperimentConfig, dim: int) -> None:
        super().__init__()
        self.weight = config.alignment_weight
        self.log_scale = nn.Parameter(torch.tensor(20.0).log())
        self.register_buffer("total", torch.zeros(dim))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, views: Views) -> torch.Tensor:
        """Return the loss of a batch."""
        query = views.student["target"]
        targets = self.pseudo_targets(views.teacher["target"], views.teacher[MEMORY])
        scale = self.log_scale.exp().clamp(1.0, 100.0)
        logits = scale * F.normalize(query, dim=-1) @ F.normalize(targets, dim=-1).T  # (B, B)
        labels = torch.arange(len(logits), device=logits.device)
        contrastive = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
        return self.weight * (contrastive + 1 - F.cosine_similarity(query, targets, dim=-1).mean())

    @torch.no_grad()
    def pseudo_targets(self, plain: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """Return the mixtures (B, D) for frozen embeddings (B, D) of texts from an English memory (M, D)."""
        self.total += plain.sum(dim=0)
        self.count += len(plain)
        texts = F.normalize(plain - self.total / self.count, dim=-1)
        english = F.normalize(memory - memory.mean(dim=0), dim=-1)
        return torch.softmax(texts @ english.T / 0.02, dim=-1) @ memory  # (B, M) x (M, D)


_OWN_LOSSES = {loss.__name__: loss for loss in (BothLanguages, Relations, Unpaired)}


def make_loss(recipe: Recipe, config: ExperimentConfig, dim: int) -> nn.Module:
    """Return the loss of a recipe that has one of its own, for embeddings (B, dim)."""
    loss = _OWN_LOSSES[recipe.make] if isinstance(recipe.make, str) else recipe.make
    return loss(config, dim)
