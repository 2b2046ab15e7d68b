"""OpenDelta's own deltas on a transformers encoder: the reference that pecl's slot modules are compared with.

`attach_opendelta` builds LoRA, bottleneck adapter, compacter or soft prompt through OpenDelta's classes, with the
options and defaults of pecl's configs and the choices of the method's released code. For the formula
of each see docs/opendelta.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import nn

from pecl.adapters.adapter import set_trainable
from pecl.adapters.opendelta.compat import import_opendelta
from pecl.adapters.roles import NORM_ROLES, paths_of
from pecl.errors import ConfigError, WeightsError, unknown

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROMPT_STD = 0.02  # standard deviation of a fresh prompt in the released code
_FEED_FORWARD = ("attention_output", "output")


class _Kind(NamedTuple):
    """Conversion of pecl's options to the arguments of one OpenDelta class."""

    class_name: str
    options: dict[str, tuple[str, Any]]  # pecl's name -> (OpenDelta's name, default)
    target_modules: tuple[str, ...] = ()  # roles; empty: the delta has a place of its own
    fixed: Mapping[str, Any] = {}
    layer_norms: bool = True


KINDS = {
    "lora": _Kind(
        "LoraModel",
        {"r": ("lora_r", 8), "lora_alpha": ("lora_alpha", 16.0), "lora_dropout": ("lora_dropout", 0.0)},
        target_modules=("query", "value"),
    ),
    "bottleneck": _Kind(
        "AdapterModel",
        {"bottleneck_dim": ("bottleneck_dim", 24)},
        target_modules=_FEED_FORWARD,
        fixed={"non_linearity": "gelu_new"},
    ),
    "compacter": _Kind(
        "CompacterModel",
        {"reduction_factor": ("reduction_factor", 16), "phm_dim": ("hypercomplex_division", 4)},
        target_modules=_FEED_FORWARD,
        fixed={"non_linearity": "relu"},  # AutoDeltaConfig's value, not the class's own default
    ),
    "soft_prompt": _Kind(
        "SoftPromptModel",
        {"num_virtual_tokens": ("soft_token_num", 4)},
        fixed={"token_init": False},
        layer_norms=False,
    ),
}


class OpenDelta:
    """An OpenDelta delta on a backbone; `delta` is OpenDelta's own object. Made by `attach_opendelta`."""

    def __init__(self, kind: str, backbone: PreTrainedModel, delta: Any, layer_norms: list[str]) -> None:
        self.kind, self.backbone, self.delta = kind, backbone, delta
        # OpenDelta trains the backbone's own LayerNorms; these copies bring them back.
        self._plain_layer_norms = {
            path: {name: tensor.clone() for name, tensor in backbone.get_submodule(path).state_dict().items()}
            for path in layer_norms
        }

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the trainable parameters, LayerNorms among them, with their names in the backbone."""
        return ((name, parameter) for name, parameter in self.backbone.named_parameters() if parameter.requires_grad)

    def parameters(self) -> list[nn.Parameter]:
        """Return the trainable parameters, for an optimiser."""
        return [parameter for _, parameter in self.named_parameters()]

    def num_parameters(self) -> int:
        """Return the number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return a copy of the trainable parameters under OpenDelta's names."""
        return {name: parameter.detach().clone() for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Put back parameters that `state_dict` returned, or raise WeightsError for other names or shapes."""
        mine = dict(self.named_parameters())
        if odd := sorted(mine.keys() ^ state.keys()):
            where = "is missing from" if odd[0] in mine else "is not known to"
            raise WeightsError(f"parameter {odd[0]!r} {where} the {self.kind} state ({len(odd)} such names)")
        for name, parameter in mine.items():
            if parameter.shape != state[name].shape:
                shapes = f"{tuple(state[name].shape)}, expected {tuple(parameter.shape)}"
                raise WeightsError(f"parameter {name!r} has shape {shapes}")
            parameter.data.copy_(state[name])

    def detach(self) -> None:
        """Take the delta off, freeze the backbone and give its LayerNorms their former values.

        OpenDelta cannot put a delta on again; build a new one and load `state_dict` into it.
        """
        self.delta.detach(reset_state_dict=False)
        for module in self.backbone.modules():
            # OpenDelta leaves these behind; with them, the next delta would get other parameter names.
            for leftover in ("_delta_infos", "forward", "_replicate_for_data_parallel"):
                vars(module).pop(leftover, None)
        for path, values in self._plain_layer_norms.items():
            self.backbone.get_submodule(path).load_state_dict(values)
        set_trainable(self.backbone, [])


def attach_opendelta(
    backbone: PreTrainedModel,
    kind: str,
    *,
    seed: int = 1,
    layer_norms: bool | None = None,
    target_modules: tuple[str, ...] | None = None,
    **options: Any,
) -> OpenDelta:
    """Put OpenDelta's delta on an XLM-R or BERT encoder and make it, with the LayerNorms, all that trains.

    Initial values are drawn on the CPU, whatever the device. `layer_norms` also trains both LayerNorms of every layer,
    `target_modules` are roles of the adapted layers, `options` have pecl's names; all default to those of the kind.

    Raises:
        ConfigError: unknown kind or option, options that do not fit the backbone, or OpenDelta is not installed.
        WeightsError: unknown architecture or role.
    """
    if kind not in KINDS:
        raise ConfigError(unknown("OpenDelta kind", kind, KINDS))
    row = KINDS[kind]
    for name in options:
        if name not in row.options:
            raise ConfigError(unknown(f"option of OpenDelta's {kind}", name, row.options))
    if target_modules and not row.target_modules:
        raise ConfigError(f"target_modules does not apply to {kind}: its place is the input")
    train_norms = row.layer_norms if layer_norms is None else layer_norms
    norms = _paths(backbone, NORM_ROLES if train_norms else ())
    arguments = {theirs: options.get(ours, default) for ours, (theirs, default) in row.options.items()}
    if row.target_modules:
        arguments["modified_modules"] = _paths(backbone, target_modules or row.target_modules)
    make = getattr(import_opendelta(), row.class_name)
    return _build(backbone, kind, seed, norms, lambda: make(backbone, **row.fixed, **arguments))


def _paths(backbone: PreTrainedModel, roles: tuple[str, ...]) -> list[str]:
    return [path for role in roles for path in paths_of(backbone, role)]


def _build(backbone: Any, kind: str, seed: int, layer_norms: list[str], make: Callable[[], Any]) -> OpenDelta:
    """Make the delta on the CPU, in evaluation mode and with its own seed, and set what trains."""
    home, training = backbone.device, backbone.training
    backbone.to("cpu")  # a seed then gives the same start everywhere, and OpenDelta's soft prompt can be made
    backbone.eval()  # dropout would draw from the generator while OpenDelta sizes its modules
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)
        delta = make()
        if kind == "soft_prompt":
            _follow_release(delta.delta_modules[0])
    attached = OpenDelta(kind, backbone, delta, layer_norms)
    if delta._need_pseudo_data:
        _repeat_sizing_pass(attached)
    norms = [parameter for path in layer_norms for parameter in backbone.get_submodule(path).parameters()]
    set_trainable(backbone, [*delta.parameters(), *norms])  # OpenDelta's freeze_module cannot unfreeze a LayerNorm
    backbone.to(home).train(training)
    return attached


def _follow_release(layer: Any) -> None:
    """Make OpenDelta's soft prompt that of the released code: N(0, 0.02²), and after the first token, not before it.

    OpenDelta gives the sequence as prompt, first token, rest. The mask needs no change: the first token's is always 1.
    """
    layer.soft_embeds.data.normal_(0, PROMPT_STD)
    before_first_token = layer.pre_forward
    size = layer.num_tokens

    def after_first_token(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args, kwargs = before_first_token(*args, **kwargs)
        prompt, first, rest = kwargs["inputs_embeds"].tensor_split((size, size + 1), dim=1)
        kwargs["inputs_embeds"] = torch.cat([first, prompt, rest], dim=1)  # (B, P + L, d)
        return args, kwargs

    layer.pre_forward = after_first_token


@torch.no_grad()
def _repeat_sizing_pass(attached: OpenDelta) -> None:
    """Run once more the pass in which OpenDelta sizes its modules, for the errors that it swallows there."""
    try:
        attached.backbone(**cast("dict[str, Any]", attached.backbone.dummy_inputs))
    except (AssertionError, IndexError, RuntimeError, ValueError) as error:
        attached.detach()
        raise ConfigError(f"OpenDelta's {attached.kind} does not fit the backbone: {error}") from error
