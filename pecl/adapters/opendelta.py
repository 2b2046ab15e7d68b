"""The engine opendelta: OpenDelta's own deltas on a text tower, the reference for pecl's slot modules.

LoRA, bottleneck adapter, compacter and soft prompt have the options of pecl's configs and the choices of the method's
released code. For the formula of each see docs/opendelta.md. OpenDelta holds one adapter at a time, so its engine has
one slot. An adapter file has pecl's names: it does not record which engine trained it.

OpenDelta 0.3.2 is imported next to transformers 5: `import_opendelta` supplies three names that transformers 5 lacks,
only during the import. OpenDelta binds these names when it is imported, so none of them has to stay: afterwards
`sys.modules`, `sys.path` and transformers are as before, except for OpenDelta's own modules.
"""

import contextlib
import importlib
import logging
import sys
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, cast

import torch
from torch import nn
from transformers.integrations import deepspeed
from transformers.models.distilbert import modeling_distilbert

from pecl.adapters.adapter import check_has_no_adapter, set_trainable
from pecl.adapters.foreign import ForeignAdapter
from pecl.adapters.formats.opendelta import from_opendelta_state_dict
from pecl.adapters.kind import AdapterConfig
from pecl.adapters.kinds.layer_norm import LayerNormConfig
from pecl.adapters.kinds.soft_prompt import DEFAULT_TOKENS
from pecl.adapters.spec import describe
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError
from pecl.machine import FP32
from pecl.options import format_option

INSTALL_COMMAND = "pip install -r requirements.txt -r requirements-opendelta.txt"
PROMPT_STD = 0.02  # standard deviation of a fresh prompt in the released code


# OpenDelta's class, its names of pecl's options, and arguments that are fixed unless an option sets them
KINDS: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "lora": ("LoraModel", {"r": "lora_r", "lora_alpha": "lora_alpha", "lora_dropout": "lora_dropout"}, {}),
    "bottleneck": ("AdapterModel", {"bottleneck_dim": "bottleneck_dim"}, {"non_linearity": "gelu_new"}),
    "compacter": (
        "CompacterModel",
        {"reduction_factor": "reduction_factor", "phm_dim": "hypercomplex_division"},
        {"non_linearity": "relu"},  # AutoDeltaConfig's value, not the class's own default
    ),
    "soft_prompt": (
        "SoftPromptModel",
        {"num_virtual_tokens": "soft_token_num"},
        {"token_init": False, "soft_token_num": DEFAULT_TOKENS},
    ),
}


def kind_names() -> list[str]:
    """Return the kinds that OpenDelta has, too."""
    return list(KINDS)


class OpenDeltaAdapter(ForeignAdapter):
    """OpenDelta's delta on a tower.

    Arguments are as in `attach`. Raise ConfigError for a config that OpenDelta cannot express. Parameters have
    OpenDelta's names in the backbone, and no slot dimension. Initial values are drawn on the CPU, whatever the device.
    """

    def __init__(self, tower: MultilingualTextEncoder, configs: Sequence[AdapterConfig], seeds: Sequence[int]) -> None:
        check_has_no_adapter(tower)
        super().__init__(tower, tuple(configs), seeds)
        tower.adapter = self

    def put_on(self, seeds: Sequence[int]) -> None:
        """Put OpenDelta's modules on the tower, and train LayerNorms if the configs name them."""
        tower, configs = self.tower, self.configs
        self.check_slots("opendelta", len(seeds))
        adapter, arguments = _opendelta_arguments(configs)
        if tower.precision != FP32:
            raise ConfigError(f"engine opendelta: expected the precision fp32, got {tower.precision}")

        tower.fix_fingerprint()
        self._plain_backbone = tower.backbone
        backbone: Any = tower.written_backbone()  # OpenDelta asks for transformers' classes

        norms = [config for config in configs if isinstance(config, LayerNormConfig)]
        norm_paths = [path for norm in norms for path in _targets(norm, tower)]
        # OpenDelta trains the backbone's own LayerNorms; these copies bring them back.
        self._plain_layer_norms = {
            path: {name: tensor.clone() for name, tensor in backbone.get_submodule(path).state_dict().items()}
            for path in norm_paths
        }

        paths = _targets(adapter, tower)
        if paths:
            arguments["modified_modules"] = paths
        self._put_delta(backbone, adapter.kind, arguments, seeds[0])

        norm_parameters = [parameter for path in norm_paths for parameter in backbone.get_submodule(path).parameters()]
        # OpenDelta's freeze_module cannot unfreeze a LayerNorm, and does not reach the head
        set_trainable(tower, [*self.delta.parameters(), *norm_parameters])

    def _put_delta(self, backbone: Any, kind: str, arguments: Mapping[str, Any], seed: int) -> None:
        """Put `backbone`, with OpenDelta's modules in it, on the tower; an error leaves the plain backbone there."""
        class_name, _, _ = KINDS[kind]
        make_delta = getattr(import_opendelta(), class_name)

        self.tower.backbone = backbone
        device = backbone.device
        training = backbone.training
        backbone.to("cpu")  # a seed then gives the same start everywhere, and OpenDelta's soft prompt can be made
        backbone.eval()  # dropout would draw from the generator while OpenDelta sizes its modules
        try:
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                torch.default_generator.manual_seed(seed)
                self.delta = make_delta(backbone, **arguments)
                if kind == "soft_prompt":
                    _follow_release(self.delta.delta_modules[0])
            if self.delta._need_pseudo_data:
                self._repeat_sizing_pass(kind)
        except BaseException:
            self.tower.backbone = self._plain_backbone
            raise
        finally:
            backbone.to(device).train(training)

    @torch.no_grad()
    def _repeat_sizing_pass(self, kind: str) -> None:
        """Repeat the pass in which OpenDelta sizes its modules, to raise the errors that it swallows there."""
        backbone: Any = self.tower.backbone
        try:
            backbone(**backbone.dummy_inputs)
        except (AssertionError, IndexError, RuntimeError, ValueError) as error:
            self.remove()
            raise ConfigError(f"OpenDelta's {kind} does not fit the backbone: {error}") from error

    @property
    def works_on_tokens(self) -> bool:
        """False: OpenDelta's modules see batches as the released code gives them."""
        return False

    @property
    def first_layer(self) -> int:
        """0: OpenDelta does not tell where its modules are."""
        return 0

    def own_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the trainable parameters, LayerNorms among them, with their names in the backbone."""
        for name, parameter in self.tower.backbone.named_parameters():
            if parameter.requires_grad:
                yield name, parameter

    def file_state(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return a state under the names of pecl's adapter files."""
        return from_opendelta_state_dict(state)[1]

    def remove(self) -> None:
        """Take the delta off and put the plain backbone back: its class, its frozen weights, its LayerNorms' values.

        OpenDelta cannot put a delta on again; make a new one and load the state into it.
        """
        backbone = self.tower.backbone
        self.delta.detach(reset_state_dict=False)
        for module in backbone.modules():
            # OpenDelta leaves these behind; with them, the next delta would get other parameter names.
            for leftover in ("_delta_infos", "forward", "_replicate_for_data_parallel"):
                vars(module).pop(leftover, None)

        for path, values in self._plain_layer_norms.items():
            backbone.get_submodule(path).load_state_dict(values)

        set_trainable(backbone, [])
        # The plain backbone shares its innermost modules with OpenDelta's, and so their mode.
        self.tower.backbone = self._plain_backbone.train(backbone.training)
        self.tower.adapter = None


def _targets(config: Any, tower: MultilingualTextEncoder) -> list[str]:
    """Return the paths of the layers that a config names; none for a soft prompt, which is at the input."""
    return config.layer_paths(tower, getattr(config, "target_modules", ()))


def _opendelta_arguments(configs: Sequence[AdapterConfig]) -> tuple[AdapterConfig, dict[str, Any]]:
    """Return the config besides LayerNorms, and OpenDelta's arguments for it. Raise ConfigError if there are none."""
    adapters = [config for config in configs if not isinstance(config, LayerNormConfig)]
    if len(adapters) != 1 or adapters[0].kind not in KINDS:
        kinds = "+".join(config.kind for config in adapters) or "layernorm"
        raise ConfigError(f"engine opendelta: expected one of {', '.join(KINDS)}, got {kinds}")

    (adapter,) = adapters
    _, names, fixed_arguments = KINDS[adapter.kind]
    arguments = dict(fixed_arguments)
    for field in fields(adapter):
        value = getattr(adapter, field.name)
        if field.name in names:
            if value is not None:
                arguments[names[field.name]] = value
        elif field.name != "target_modules" and value != field.default:
            expected = format_option(field.default)
            actual = format_option(value)
            raise ConfigError(f"engine opendelta: {adapter.kind}: expected {field.name}={expected}, got {actual}")

    norms = [config for config in configs if config is not adapter]
    if norms and norms != [LayerNormConfig()]:
        raise ConfigError(f"engine opendelta: expected layernorm as it is, got {describe(norms)}")
    return adapter, arguments


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


def import_opendelta() -> types.ModuleType:
    """Return the module `opendelta`. Raise ConfigError with the install command if it cannot be imported."""
    if "opendelta" in sys.modules:
        return sys.modules["opendelta"]

    try:
        with _names_opendelta_lacks(), warnings.catch_warnings():
            # DeltaCenter, which OpenDelta imports, reads its version through pkg_resources.
            warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
            opendelta = importlib.import_module("opendelta")
    except ImportError as error:
        raise ConfigError(f"OpenDelta cannot be imported ({error}): install it with `{INSTALL_COMMAND}`") from error

    # OpenDelta logs each config at INFO and each build at WARNING, on a handler of its own.
    logging.getLogger("opendelta").setLevel(logging.ERROR)
    return opendelta


@contextlib.contextmanager
def _names_opendelta_lacks() -> Iterator[None]:
    """Supply the missing names while OpenDelta is imported, then take them away again."""
    modules: dict[str, Any] = {name: types.ModuleType(name) for name in ("transformers.deepspeed", "turtle")}
    # transformers 5 has moved these two functions to `transformers.integrations`; OpenDelta never calls them.
    for function in (deepspeed.deepspeed_config, deepspeed.is_deepspeed_zero3_enabled):
        setattr(modules["transformers.deepspeed"], function.__name__, function)
    # `from turtle import back`, left there by an editor and never used, needs tkinter: absent on most servers.
    modules["turtle"].back = None

    modules_before = {name: sys.modules.get(name) for name in modules}
    path_before = list(sys.path)
    sys.modules.update(modules)
    # transformers 5 has renamed the class; OpenDelta's prefix tuning compares types with it, which pecl does not use.
    distilbert = cast(Any, modeling_distilbert)
    distilbert.MultiHeadSelfAttention = distilbert.DistilBertSelfAttention

    try:
        yield
    finally:
        del distilbert.MultiHeadSelfAttention
        sys.path[:] = path_before  # OpenDelta puts a folder of its own first, with modules named `bert`, `t5`, ...
        for name, module in modules_before.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module
