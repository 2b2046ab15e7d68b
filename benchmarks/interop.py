"""Compare pecl's exports in other packages: `python benchmarks/interop.py ADAPTER [ADAPTER ...] [--pairs 200]`.

Writes every export of the mini towers with the adapters into a temporary folder (formats for one language get the first
adapter), opens each export with its own package, and compares it with pecl on captions and photographs of Multi30K:
largest difference of an embedding, smallest cosine, mean recall@1 in both, bytes. Prints JSON or a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.convert import merge_adapter
from pecl.adapters.formats.files import load_adapter_file
from pecl.data.registry import load_dataset
from pecl.encoders.towers import load_towers
from pecl.export.onnx import INT8_FILE, TEXT_FILE, VISION_FILE, export_onnx
from pecl.export.open_clip import export_open_clip
from pecl.export.sentence_transformers import export_adapter, export_towers
from pecl.retrieval.evaluator import RetrievalEvaluator

Embed = Callable[[list[str]], torch.Tensor]


class Comparison:
    """Captions and photographs of one language, with pecl's own embeddings."""

    def __init__(self, language: str, pairs: int, embed: Embed, image: Any) -> None:
        data = load_dataset("multi30k-1k", language).select(range(pairs))
        self.captions, self.items = list(data.target), list(data.image_index)
        self.pictures = [data.images.load(i) for i in range(len(data.images))]
        self.texts, self.images = embed(self.captions), image.encode_image(self.pictures)
        self.rows: list[dict[str, Any]] = []

    def recall(self, texts: torch.Tensor, images: torch.Tensor) -> float:
        """Return the mean recall@1 of both directions."""
        return RetrievalEvaluator(images, self.items)(texts).mean_recall_at_1

    def add(self, name: str, path: Path, texts: torch.Tensor, images: torch.Tensor | None) -> None:
        """Add a row for a package; without images in the export (None), search pecl's images."""
        size = (
            sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
            if path.is_dir()
            else path.stat().st_size
        )
        found = {"texts": (texts, self.texts)} | ({} if images is None else {"images": (images, self.images)})
        self.rows.append(
            {
                "export": name,
                "bytes": size,
                **{f"{what} largest difference": float((a - b).abs().max()) for what, (a, b) in found.items()},
                **{
                    f"{what} least cosine": float(torch.cosine_similarity(a, b).min()) for what, (a, b) in found.items()
                },
                "mean recall@1 there": self.recall(texts, self.images if images is None else images),
                "mean recall@1 here": self.recall(self.texts, self.images),
            }
        )
        sys.stderr.write(json.dumps(self.rows[-1]) + "\n")  # an export takes minutes, so show each row at once


def with_sentence_transformers(folder: Path, pictures: list[Any] | None, texts: list[str]) -> tuple[Any, Any]:
    """Return the embeddings of texts and pictures."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    images = None if pictures is None else model.encode(pictures, convert_to_tensor=True, batch_size=4)
    return model.encode(texts, convert_to_tensor=True), images


def with_open_clip(folder: Path, pictures: list[Any], texts: list[str]) -> tuple[Any, Any]:
    """Return the embeddings of texts and pictures."""
    import open_clip

    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    with torch.inference_mode():
        found = [model.encode_text(tokenizer(texts[i : i + 16]), normalize=True) for i in range(0, len(texts), 16)]
        seen = [model.encode_image(prepare(one).unsqueeze(0), normalize=True) for one in pictures]
    return torch.cat(found), torch.cat(seen)


def with_onnxruntime(folder: Path, texts: list[str], file: str, slot: int | None = None) -> torch.Tensor:
    """Return the embeddings of texts."""
    import onnxruntime
    from transformers import AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, truncation=True, return_tensors="np")
    feed = {name: tokens[name] for name in ("input_ids", "attention_mask")}
    if slot is not None:
        feed["slots"] = np.full(len(texts), slot)
    return torch.tensor(onnxruntime.InferenceSession(folder / file).run(None, feed)[0])


def images_with_onnxruntime(folder: Path, image: Any, pictures: list[Any]) -> torch.Tensor:
    """Return the embeddings of pictures."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / VISION_FILE)
    made = [session.run(None, {"pixel_values": image.preprocess(one).unsqueeze(0).numpy()})[0] for one in pictures]
    return torch.tensor(np.concatenate(made))


def measure(adapters: list[str], pairs: int, folder: Path) -> list[dict[str, Any]]:
    """Export, open and compare with each package; return the rows."""
    towers = load_towers("mini")
    text, image = towers.text, towers.image
    file = load_adapter_file(adapters[0], text)
    merged = merge_adapter(file, text)
    compared = Comparison(str(file.language), pairs, merged.encode_text, image)
    captions, pictures = compared.captions, compared.pictures
    export_towers(merged, image, folder / "both")
    compared.add(
        "sentence-transformers", folder / "both", *with_sentence_transformers(folder / "both", pictures, captions)
    )
    export_towers(text, None, folder / "plain")
    export_adapter(file, text, folder / "only", folder / "plain")
    compared.add("adapter only", folder / "only", *with_sentence_transformers(folder / "only", None, captions))
    export_open_clip(merged, image, folder / "oc")
    compared.add("open-clip", folder / "oc", *with_open_clip(folder / "oc", pictures, captions))
    export_onnx(merged, image, folder / "onnx", int8=True)
    seen = images_with_onnxruntime(folder / "onnx", image, pictures)
    for name in (TEXT_FILE, INT8_FILE):
        compared.add(name, folder / "onnx" / name, with_onnxruntime(folder / "onnx", captions, name), seen)
    if len(adapters) > 1:
        bank = AdapterBank.from_files(text, adapters)
        export_onnx(bank, None, folder / "bank")
        own = with_onnxruntime(folder / "bank", captions, TEXT_FILE, bank.slot(str(file.language))[1])
        compared.add(f"onnx of {len(bank)} languages", folder / "bank" / TEXT_FILE, own, None)
    return compared.rows


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapters", nargs="+", help="adapter files of the mini tower")
    parser.add_argument("--pairs", type=int, default=200, help="captions and photographs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(parsed.adapters, parsed.pairs, Path(folder))
    if parsed.json:
        print(json.dumps(rows, indent=2))
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    print(
        "\n".join(
            "| " + " | ".join(str(row.get(name, "")) for name in names) + " |"
            for row in [{name: name for name in names}, *rows]
        )
    )


if __name__ == "__main__":
    main()
