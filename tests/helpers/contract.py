"""Every family, export and kind of adapter: what its own package embeds, opened as docs/exports.md shows."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import open_clip
import torch
from transformers import AutoModel, AutoTokenizer

from helpers.adapter_towers import states
from helpers.checkpoints import write_mclip, xlm_roberta_config
from helpers.exporting import image_tower, text_tower
from helpers.family_towers import WRITERS, write_open_clip_metaclip
from pecl.adapters.adapter import attach
from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.files import load_adapter_file, merge_adapter, save_adapter
from pecl.adapters.spec import parse_adapter
from pecl.apps.export.contract import differences, texts_for
from pecl.apps.export.folders import save_text_encoder
from pecl.apps.export.onnx import TEXT_FILE, export_onnx
from pecl.apps.export.open_clip import export_open_clip
from pecl.apps.export.peft import export_peft
from pecl.apps.export.sentence_transformers import export_adapter, export_towers
from pecl.encoders.families import finish_backbone
from pecl.encoders.towers import load_image_encoder, load_text_encoder
from pecl.errors import PeclError, RunError

WORDS = "layernorm+word_embeddings:tokens=9,rank=3"
KINDS = {"none": None, "LoRA": "lora-only", "words": WORDS, "head": "lora+head:rank=3"}
FAMILIES = (*WRITERS, "mclip", "prefix")
_OWN_IMAGES = {"siglip": "open-clip-siglip", "metaclip": "slow gelu", "metaclip-mt5": "slow gelu"}


@cache
def source(family):
    """A folder with a checkpoint of the family."""
    folder = Path(tempfile.mkdtemp())
    if family == "mclip":
        (folder / "base").mkdir()
        xlm_roberta_config().save_pretrained(folder / "base")
        write_mclip(folder / "mclip", folder / "base")
        return folder / "mclip"
    if family == "slow gelu":  # that of transformers' MetaCLIP 2
        write_open_clip_metaclip(folder, quick_gelu=False)
    else:
        WRITERS[family](folder)
    return folder


class Case:
    """A tower of a family, an adapter on it, and what the tower and the adapter's own slot embed."""

    def __init__(self, family, kind, folder):
        self.tower = text_tower() if family == "prefix" else load_text_encoder(source(family))
        self.family, self.kind, self.folder, self.file, self.merged = family, kind, folder, None, self.tower
        self.state = self.spec = None
        if (spec := KINDS[kind]) is not None:
            (self.state,), self.spec = states(self.tower, spec, 1), parse_adapter(spec)
            path = save_adapter(folder / "cs.safetensors", self.state, self.spec, "cs", self.tower)
            self.file = load_adapter_file(path)
            self.merged = merge_adapter(self.file, self.tower)

    def expected(self, texts):
        if self.file is None:
            return self.tower.encode_text(texts)
        adapter = attach(self.tower, self.spec)
        adapter.load_slot_state(0, self.state)
        try:
            return self.tower.encode_text(texts, language="cs")
        finally:
            adapter.remove()


def by_sentence_transformers(folder):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    return lambda texts: model.encode(texts, convert_to_tensor=True)


def sentence_transformers(case):
    return by_sentence_transformers(save_text_encoder(case.merged, case.folder / "out")), case.expected


def both_towers(case):
    image = image_tower(case.tower.embedding_dim)
    return by_sentence_transformers(export_towers(case.merged, image, case.folder / "out")), case.expected


def only_adapter(case):
    save_text_encoder(case.tower, case.folder / "plain")
    folder = export_adapter(case.file, case.tower, case.folder / "out", case.folder / "plain")
    return by_sentence_transformers(folder), case.expected


def pecl_itself(case):
    folder = save_text_encoder(case.merged, case.folder / "out")
    return load_text_encoder(folder).encode_text, case.expected


def _open_clip(case):
    image = image_tower(case.tower.embedding_dim)
    if case.tower.shapes_texts:
        image = load_image_encoder(source(_OWN_IMAGES.get(case.family, case.family)))
    return export_open_clip(case.merged, image, case.folder / "out")


def in_open_clip(case):
    folder = _open_clip(case)
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")

    def embed(texts):
        with torch.no_grad():
            return model.eval().encode_text(tokenizer(texts), normalize=True)

    same = case.tower.clean in ("whitespace", "canonicalize")  # else open_clip's cleaning comes first
    return embed, case.expected if same else lambda texts: case.expected([tokenizer.clean_fn(text) for text in texts])


def pecl_from_open_clip(case):
    folder = _open_clip(case)
    clean = open_clip.get_tokenizer(f"local-dir:{folder}").clean_fn
    return load_text_encoder(folder).encode_text, lambda texts: case.expected([clean(text) for text in texts])


def by_onnxruntime(folder, slots=None):
    """All ways to pad and to mask, one after the other."""
    import onnxruntime

    tokenizer = AutoTokenizer.from_pretrained(folder)
    session = onnxruntime.InferenceSession(folder / TEXT_FILE)
    turns = iter(
        [
            ({"padding": True, "truncation": True}, np.asarray),
            ({"padding": "max_length", "max_length": 600, "truncation": True}, np.asarray),
            ({"padding": "max_length", "max_length": 600, "truncation": True}, np.ones_like),
            ({"padding": True}, np.ones_like),
            ({"padding": True, "padding_side": "left"}, np.asarray),
        ]
    )

    def embed(texts):
        rows = []
        for options, mask in turns:
            tokens = tokenizer(texts, return_tensors="np", verbose=False, **options)
            feed = {"input_ids": tokens["input_ids"], "attention_mask": mask(tokens["attention_mask"])}
            feed |= {} if slots is None else {"slots": np.full(len(texts), slots)}
            rows.append(session.run(None, feed)[0])
        return np.concatenate(rows, axis=1)  # (N, 5 D)

    return embed


def _five_times(expected):
    return lambda texts: expected(texts).repeat(1, 5)


def onnx(case):
    return by_onnxruntime(export_onnx(case.merged, None, case.folder / "out")), _five_times(case.expected)


def onnx_slots(case):
    bank = AdapterBank(case.tower, case.spec)
    bank.add("de", states(case.tower, KINDS[case.kind], 1)[0])
    bank.add("cs", case.state)
    return by_onnxruntime(export_onnx(bank, None, case.folder / "out"), slots=1), _five_times(case.expected)


def peft(case):
    from peft import PeftModel

    save_text_encoder(case.tower, case.folder / "plain")
    folder = export_peft(case.file, case.tower, case.folder / "out", str(case.folder / "plain"))
    encoder = (case.tower.family.encoder or AutoModel).from_pretrained(case.folder / "plain")
    finish_backbone(encoder)
    wrapped = PeftModel.from_pretrained(encoder, folder).eval()

    def embed(texts):
        backbone, case.tower.backbone = case.tower.backbone, wrapped
        try:
            return case.tower.encode_text(texts, language="cs")
        finally:
            case.tower.backbone = backbone

    return embed, case.expected


EXPORTS = {
    "sentence-transformers": sentence_transformers,
    "both towers": both_towers,
    "adapter only": only_adapter,
    "pecl": pecl_itself,
    "open_clip": in_open_clip,
    "pecl, open_clip's form": pecl_from_open_clip,
    "ONNX": onnx,
    "ONNX, slots": onnx_slots,
    "PEFT": peft,
}
NEEDS_ADAPTER = ("adapter only", "ONNX, slots", "PEFT")
OWN_PREFIX = ("open_clip", "pecl, open_clip's form", "ONNX", "ONNX, slots")  # it is part of the tokenizer


def measure(family, export, kind, folder):
    """Return the largest difference of each text, largest first; or the sentence of a refusal."""
    case = Case(family, kind, folder)
    by_token = {"open_clip": not case.tower.shapes_texts, "pecl, open_clip's form": False}
    transformers = export in ("sentence-transformers", "both towers", "adapter only")
    options = {
        "has_prefix": export in OWN_PREFIX,
        "pads_by_token": by_token.get(export, transformers and case.tower.counts_padding),
    }
    try:
        found, expected = EXPORTS[export](case)
    except (PeclError, RunError) as error:
        return str(error)
    return differences(found, expected, texts_for(case.tower, **options))
