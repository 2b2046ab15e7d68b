"""Adapters in PEFT's format that name an encoder which PEFT can load, and the parts of adapters that PEFT cannot hold.

PEFT wraps only the encoder: LoRA, word embeddings and LayerNorms go there. Parts after the encoder,
such as a head, and text prefixes belong to the code that pools the tokens; sentence-transformers'
folders have a place for them.
"""

from functools import partial
from pathlib import Path
from typing import Any

from transformers import AutoModel

from pecl.adapters.adapter import attach
from pecl.adapters.formats.files import AdapterFile, merge_adapter
from pecl.adapters.formats.peft import write_peft
from pecl.adapters.kind import AdapterConfig
from pecl.adapters.kinds.layer_norm import LayerNormConfig
from pecl.adapters.kinds.lora import LoraConfig
from pecl.adapters.kinds.word_embeddings import WordEmbeddingsConfig
from pecl.adapters.peft.method import PeftMethod
from pecl.adapters.spec import describe
from pecl.apps.export import contract
from pecl.apps.export.folders import encoder_options
from pecl.encoders.families import finish_backbone
from pecl.encoders.fingerprint import fingerprint_module
from pecl.encoders.loading.hub import resolve
from pecl.encoders.loading.open_clip import PREFIX, is_open_clip
from pecl.encoders.loading.sentence_transformers import encoder_folder
from pecl.encoders.loading.weights import read_json
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import MINI, MINI_POOLED, load_text_encoder
from pecl.errors import ConfigError, WeightsError, command
from pecl.files import checked_folder, expanded

BASE = "base"
_REMEDY = "write it once with `pecl export sentence-transformers FOLDER`, and name that folder"
_HELD = LoraConfig | WordEmbeddingsConfig | LayerNormConfig | PeftMethod  # the kinds that PEFT's format holds


def export_peft(
    adapter: AdapterFile,
    tower: MultilingualTextEncoder,
    target: str | Path,
    base: str | None,
) -> Path:
    """Write an adapter as a folder that `peft.PeftModel.from_pretrained(encoder, folder)` reads.

    The adapter belongs to the plain text tower; for `base` see `base_encoder`, whose errors are raised, too.

    Raises:
        ConfigError: the adapter has other parts than LoRA, word embeddings and LayerNorms.
        OutputError: `target` exists already or cannot be written.
    """
    unsupported = [config for config in adapter.configs if not isinstance(config, _HELD)]
    if unsupported:
        raise ConfigError(_cannot_go(adapter, unsupported))
    with checked_folder(target, partial(_check_texts, adapter, tower)) as folder:
        write_encoder_adapter(folder, adapter, tower, base)
    return Path(target)


def _check_texts(adapter: AdapterFile, tower: MultilingualTextEncoder, folder: Path) -> None:
    """Compare the tower around the encoder that PEFT opens with the tower and its adapter."""
    if not contract.is_there("PEFT", "peft"):
        return

    from peft import PeftModel

    encoder_name = read_json(folder / "adapter_config.json")["base_model_name_or_path"]
    with contract.opening("PEFT"):
        loader: Any = (tower.family and tower.family.encoder) or AutoModel
        encoder = loader.from_pretrained(encoder_name, **encoder_options(tower))
        finish_backbone(encoder)
        wrapped: Any = PeftModel.from_pretrained(encoder, str(folder)).eval()

    loaded = MultilingualTextEncoder(
        wrapped,
        tower.tokenizer,
        tower.head,
        name=tower.name,
        text_prefix=tower.text_prefix,
        max_length=tower.max_length,
        pooling=tower.pooling,
        clean=tower.clean,
    )
    loaded.language = adapter.language
    texts = contract.texts_for(tower)
    contract.check_equal("PEFT", loaded.encode_text, merge_adapter(adapter, tower).encode_text, texts)


def write_encoder_adapter(
    folder: Path, adapter: AdapterFile, tower: MultilingualTextEncoder, base: str | Path | None
) -> str:
    """Write an adapter's changes to the encoder in PEFT's format, without parts after the encoder.

    Return the folder or hub id of the encoder for PEFT. A tower that names languages gets a
    tokenizer of the adapter's language. Raise ConfigError if the adapter changes nothing in the
    encoder, or something that PEFT cannot hold.
    """
    contract.check_portable(tower, adapter.language)
    attached = attach(tower, adapter.configs, seeds=())
    inside = [(f"{path}.", config) for path, _, config in attached.modules if not path.startswith("head")]
    attached.remove()
    encoder_configs = [config for config in adapter.configs if isinstance(config, _HELD)]
    unsupported = [config for _, config in inside if config not in encoder_configs]
    if unsupported or all(isinstance(config, LayerNormConfig) for config in encoder_configs):
        raise ConfigError(_cannot_go(adapter, list(dict.fromkeys(unsupported))))

    state = {name: tensor for name, tensor in adapter.state.items() if not name.startswith("head")}
    encoder = base_encoder(base, tower)
    if tower.names_languages:
        contract.portable_tokenizer(tower, adapter.language).save_pretrained(folder)

    write_peft(folder, state, encoder_configs, tower, encoder)
    return encoder


def _cannot_go(adapter: AdapterFile, unsupported: list[AdapterConfig]) -> str:
    """Return the error message about the parts of an adapter that PEFT's format cannot hold."""
    parts = ", ".join(config.kind for config in unsupported) or "an adapter without lora or word_embeddings"
    return (
        f"{adapter.path} is {describe(adapter.configs)}, of which {parts} cannot go into PEFT's format: expected lora "
        "or word_embeddings, with or without layernorm (a head goes into the folder of "
        f"{command('export', 'sentence-transformers', adapter_only=True)}, whatever can be merged into any other "
        "export)"
    )


def base_encoder(base: str | Path | None, tower: MultilingualTextEncoder) -> str:
    """Return the folder or hub id from which AutoModel loads the encoder of a plain text tower.

    `base` is a folder that `pecl export sentence-transformers` wrote of the tower, or a hub id;
    None is the checkpoint that the tower itself was loaded from.

    Raises:
        ConfigError: the tower was not loaded from a checkpoint that others can load.
        WeightsError: `base` cannot be loaded, or holds another tower.
    """
    name = str(tower.name if base is None else base)
    if base is None and name in (MINI, MINI_POOLED):
        raise ConfigError(f"the text tower {name} is not a checkpoint that PEFT can load: {_REMEDY}", field="base")

    form = "open_clip"
    folder = Path() if name.startswith(PREFIX) else resolve(name, BASE)
    encoder = folder
    if not name.startswith(PREFIX) and not is_open_clip(folder):
        encoder = encoder_folder(folder)
        form = read_json(encoder / "config.json").get("model_type")

    if form in ("open_clip", "M-CLIP"):
        raise ConfigError(f"{name} is in {form}'s format, which PEFT cannot load: {_REMEDY}", field="base")

    if base is not None and name != tower.name:
        loaded = load_text_encoder(name)
        actual = fingerprint_module(loaded.backbone, {})
        expected = fingerprint_module(tower.backbone, {})
        if actual != expected:
            raise WeightsError(
                f"{name} holds another text tower (fingerprint {actual[:12]}) than {tower.name} ({expected[:12]}), on "
                "which the adapter was trained"
            )

    local = expanded(name)
    return str(encoder.resolve()) if local.is_dir() or encoder != folder else name
