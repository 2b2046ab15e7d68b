"""A recipe from outside the package, with a parameter and state: tests give this file to --plugin."""

import torch
from torch.nn import functional as F

import pecl


@pecl.register_recipe(
    "queue",
    student=["target"],
    teacher=["english"],
    text="pairs",
    values={"image_weight": 0.0},
    bibtex="@misc{queue, title = {A queue of earlier anchors}}",
)
class Queue(torch.nn.Module):
    """Contrastive to the English text, among the anchors of earlier steps."""

    def __init__(self, config, dim):
        super().__init__()
        self.log_scale = torch.nn.Parameter(torch.tensor(2.0))
        self.register_buffer("queue", torch.zeros(0, dim))

    def forward(self, views):
        query = F.normalize(views.student["target"], dim=-1)
        keys = torch.cat([F.normalize(views.teacher["english"], dim=-1), self.queue])
        self.queue = keys[:7].detach()
        logits = self.log_scale.exp() * query @ keys.T
        return F.cross_entropy(logits, torch.arange(len(query)))
