"""ONNX files of an image tower, and of a text tower or a bank of languages, whose graph has an input `slots`.

A folder holds `onnx/model.onnx` (inputs `input_ids`, `attention_mask`, and of a bank `slots`),
`onnx/vision_model.onnx` (input `pixel_values`), the tokenizer, whose template puts the tower's
prefix before every text, and `pecl_onnx.json`: the language of each slot, and the preprocessing of
images. Embeddings have length 1.
"""

import contextlib
import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from transformers import AutoTokenizer

from pecl.adapters.adapter import Adapter
from pecl.adapters.bank import AdapterBank
from pecl.adapters.gathered_rows import GatheredRows, replaced_rows
from pecl.apps.export import contract
from pecl.encoders.image import ImageEncoder
from pecl.encoders.passes.padded import encode_padded
from pecl.encoders.pooling import POOLINGS
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.tokenizing import around
from pecl.errors import ConfigError, RunError, install, not_none, one_line
from pecl.files import checked_folder, write_json

TEXT_FILE = "onnx/model.onnx"
INT8_FILE = "onnx/model_int8.onnx"
VISION_FILE = "onnx/vision_model.onnx"
ABOUT_FILE = "pecl_onnx.json"
OUTPUT = "sentence_embedding"
_ONE_FILE = 1 << 30  # bytes of weights; larger weights go into a second file: ONNX holds 2 GiB


def export_onnx(
    text: MultilingualTextEncoder | AdapterBank,
    image: ImageEncoder | None,
    target: str | Path,
    int8: bool = False,
) -> Path:
    """Write a text tower or a bank, and optionally an image tower, as ONNX files.

    An adapter may be merged into the text tower. The graph of a bank takes the slot of each text.
    `int8` adds the text tower with dynamically quantised weights; a warning names a text whose
    embedding by it is far from the tower's.

    Raises:
        ConfigError: the packages of the extra `export` are missing, the tokenizer cannot be
            exported, or the bank has adapters of several specs.
        OutputError: `target` exists already or cannot be written.
        RunError: a tower has an operation that ONNX lacks, or onnxruntime's embeddings differ from the tower's.
    """
    check_packages()
    bank = text.single() if isinstance(text, AdapterBank) else None
    tower: Any = text if bank is None else bank.tower
    adapter = None
    languages: list[str] = []
    if bank is not None:
        adapter = bank.adapter
        languages = bank.languages

    contract.check_portable(tower, *languages)
    tokenizer = contract.portable_tokenizer(tower, with_prefix=True)
    description = {
        "max_length": tower.max_length,  # tokens; the graph cuts longer texts
        "padding": {"token": tower.tokenizer.pad_token_id, "side": "either", "length": "any", "attention_mask": "any"},
        "prefix": tower.text_prefix,
        "width": tower.embedding_dim,
        "slots": None if bank is None else {name: i for i, name in enumerate(languages)},
        "preprocessing": None if image is None else {**image.preprocessing},
    }

    with checked_folder(target, partial(_check, text, image, int8)) as folder:
        (folder / "onnx").mkdir()
        _write_text(tower, adapter, folder / TEXT_FILE, languages)
        if int8:
            import onnx
            from onnxruntime.quantization import QuantType, quantize_dynamic

            model = onnx.load(folder / TEXT_FILE)
            # onnxruntime 1.23 transposes weights, and keeps their shapes here
            del model.graph.value_info[:]
            with contract.quiet():
                quantize_dynamic(model, folder / INT8_FILE, weight_type=QuantType.QInt8, per_channel=True)

        if image is not None:
            pixels = torch.stack([image.preprocess(Image.new("RGB", (32, 32)))] * 2)  # (B, 3, H, W)
            module = ImageModule(image).eval()
            shapes = {"pixels": {0: torch.export.Dim("pictures")}}
            write_graph(module, {"pixels": pixels}, shapes, folder / VISION_FILE, ["pixel_values"])

        tokenizer.model_max_length = tower.max_length
        tokenizer.save_pretrained(folder)
        # transformers has no classes of slots
        plain = text.tower if isinstance(text, AdapterBank) else text
        plain.written_backbone().config.save_pretrained(folder)
        write_json(folder / ABOUT_FILE, description)

    return Path(target)


class TextModule(nn.Module):
    """A text tower as a graph: (B, L) token ids of any padding, and with an adapter (B,) slots, to (B, D) of length 1.

    The graph pads, cuts and masks texts itself, as its tower does. `languages` are those of the
    slots, whose tokens the graph puts first if the tower needs them.
    """

    def __init__(
        self,
        tower: MultilingualTextEncoder,
        adapter: Adapter | None,
        languages: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.codes: torch.Tensor | None
        self.cut: torch.Tensor
        codes = None
        if tower.names_languages:
            codes = [tower.language_token(name) for name in languages]

        self.register_buffer("codes", None if codes is None or adapter is None else torch.tensor(codes))  # (S,)
        self.backbone = tower.backbone
        self.head = tower.head
        self.pooling = POOLINGS[tower.pooling]
        self.only_last = tower.reads_last
        self.adapter = adapter
        self.rows = None if adapter is None else GatheredRows(adapter.num_slots)
        before, after = around(tower.tokenizer)
        self.padding: int = not_none(tower.tokenizer.pad_token_id, "pad token")
        self.longest = tower.max_length
        self.begins = bool(before)
        family = tower.family
        self.positions = tower.positions if family is not None and family.is_fixed else None
        self.end: int | None = None
        if family is not None and family.causal:
            self.end = tower.backbone.config.eos_token_id

        # (max_length,): the last tokens of a text that is cut
        end = torch.full((self.longest,), self.padding)
        end[self.longest - len(after) :] = torch.tensor(after, dtype=torch.int64)
        self.last_words = self.longest - len(after)
        self.register_buffer("cut", end)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        slots: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the embeddings (B, D), of length 1.

        The mask (B, L) is used only if the tokenizer puts no token before a text: it distinguishes
        padding on the left from a text that begins with the padding token.
        """
        ids, mask = self._shaped(self._moved(input_ids, attention_mask))
        extended = None  # by prompts of the adapter
        if self.codes is not None and slots is not None:
            ids = torch.cat([self.codes[slots].unsqueeze(1), ids[:, 1:]], dim=1)

        if self.adapter is not None and self.rows is not None:
            self.rows.choose(slots)
            extended = self.adapter.extend_inputs(ids, mask)

        ids_or_vectors, mask, pooling_mask = extended or (ids, mask, mask)
        hidden = encode_padded(self.backbone, ids_or_vectors, mask, True, self.only_last)
        pooled = self.pooling(hidden, pooling_mask[:, -1:] if self.only_last else pooling_mask)
        return F.normalize(self.head(pooled), dim=1)

    def _moved(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return token ids (B, L) with padding on the left moved to the right."""
        is_text = ids != self.padding
        begun = is_text if self.begins else is_text | (mask != 0)
        shift = (begun.long().cumsum(1) == 0).sum(1, keepdim=True)  # (B, 1)
        places = torch.arange(ids.shape[1], device=ids.device) + shift  # (B, L)
        return F.pad(ids, (0, 1), value=self.padding).gather(1, places.clamp(max=ids.shape[1]))

    def _shaped(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return token ids (B, L) cut and padded as the tower's family takes them, and their mask, both (B, L')."""
        is_text = ids != self.padding
        places = torch.arange(ids.shape[1], device=ids.device)  # (L,)
        length = ((places + 1) * is_text).amax(1, keepdim=True)  # (B, 1): tokens of each text
        count = torch.sym_min(ids.shape[1], self.longest)
        ids = ids[:, :count]
        places = places[:count]
        ids = torch.where((length > self.longest) & (places >= self.last_words), self.cut[:count], ids)
        if self.positions is not None:
            ids = F.pad(ids, (0, self.positions), value=self.padding)[:, : self.positions]
            return ids, torch.ones_like(ids)

        if self.end is not None:  # nothing after the first end-of-text token
            behind = ((ids == self.end).long().cumsum(1) == 0).sum(1, keepdim=True) + 1  # (B, 1)
            length = torch.minimum(length, behind)

        return ids, (places < length).long()


class ImageModule(nn.Module):
    """An image tower as a graph: (B, 3, H, W) pixels to (B, D) of length 1."""

    def __init__(self, image: ImageEncoder) -> None:
        super().__init__()
        self.image = image

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the embeddings (B, D), of length 1."""
        return F.normalize(self.image(pixels), dim=1)


def _check(text: MultilingualTextEncoder | AdapterBank, image: ImageEncoder | None, int8: bool, folder: Path) -> None:
    """Compare the graphs with their towers. Texts are padded and masked in several ways."""
    with contract.opening("onnxruntime"):
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        session = _opened(folder / TEXT_FILE)

    tower, names = (text.tower, text.single().languages) if isinstance(text, AdapterBank) else (text, [])
    texts = contract.texts_for(tower, has_prefix=True)

    def places(number: int) -> np.ndarray:
        return np.arange(number) % len(names)

    def expected(given: Sequence[str]) -> torch.Tensor:
        if not isinstance(text, AdapterBank):
            return text.encode_text(given)
        adapters = [names[index] for index in places(len(given))]
        token_ids = text.tokenize(given, adapters)
        return F.normalize(text.encode_token_ids(token_ids, adapters), dim=1)

    def embed(
        session: Any,
        given: Sequence[str],
        mask: Callable[[np.ndarray], np.ndarray] = np.asarray,
        **options: Any,
    ) -> np.ndarray:
        tokens = tokenizer(list(given), padding=True, return_tensors="np", verbose=False, **options)
        feed = {"input_ids": tokens["input_ids"], "attention_mask": mask(tokens["attention_mask"])}
        feed |= {"slots": places(len(given))} if names else {}
        return session.run(None, feed)[0]

    for options in ({"truncation": True}, {"mask": np.ones_like}, {"padding_side": "left"}):
        contract.check_equal("onnxruntime", partial(embed, session, **options), expected, texts)
    contract.write_card(folder, "onnxruntime", tower, partial(embed, session), expected)

    if int8:
        with contract.opening("onnxruntime"):
            session = _opened(folder / INT8_FILE)
        contract.warn_if_far(INT8_FILE, partial(embed, session, truncation=True), expected, texts)

    if image is not None:
        check_pictures(image, folder / VISION_FILE)


def check_pictures(image: ImageEncoder, path: Path) -> None:
    """Compare a graph of pictures with its tower."""
    with contract.opening("onnxruntime"):
        session = _opened(path)
    (graph_input,) = session.get_inputs()

    def embed(pixels: torch.Tensor) -> np.ndarray:
        # one by one: immich's graphs take only one
        return np.concatenate(
            [session.run(None, {graph_input.name: picture.numpy()})[0] for picture in pixels.split(1)]
        )

    contract.check_pictures("onnxruntime", embed, image)


def _opened(path: Path) -> Any:
    """Return onnxruntime's session of a graph."""
    from onnxruntime import InferenceSession

    return InferenceSession(path, providers=["CPUExecutionProvider"])


def _write_text(
    tower: MultilingualTextEncoder,
    adapter: Adapter | None,
    path: Path,
    languages: Sequence[str],
) -> None:
    module = TextModule(tower, adapter, languages).eval()
    rows: Any = module.rows
    texts = torch.export.Dim("texts")
    length = torch.export.Dim("tokens")
    example = tower.pad(tower.tokenize(["a", "a b c"]), range(2))
    inputs = {"input_ids": example.input_ids, "attention_mask": example.attention_mask}
    shapes: dict[str, Mapping[int, Any]] = {name: {0: texts, 1: length} for name in inputs}
    if adapter is not None:
        inputs["slots"] = torch.tensor([0, adapter.num_slots - 1])  # (B,)
        shapes["slots"] = {0: texts}

    with contextlib.nullcontext() if adapter is None else replaced_rows(adapter, rows):
        write_graph(module, inputs, shapes, path)


def write_graph(
    module: nn.Module,
    inputs: Mapping[str, torch.Tensor],
    shapes: Mapping[str, Any] | None,
    path: Path,
    names: Sequence[str] | None = None,
) -> None:
    """Write a module as a graph.

    Args:
        module: module in evaluation mode.
        inputs: an example of each input.
        shapes: the variable axes of each input; None for a graph with inputs of exactly these sizes.
        path: the file; weights of more than `_ONE_FILE` bytes go into a second file next to it.
        names: other names of the inputs in the graph.

    Raises:
        RunError: ONNX lacks an operation, or the graph takes batches of only one size.
    """
    weights = sum(tensor.nbytes for tensor in module.parameters())
    with warnings.catch_warnings(), contract.quiet(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            program: Any = torch.onnx.export(
                module,
                kwargs=dict(inputs),
                dynamo=True,
                dynamic_shapes=None if shapes is None else dict(shapes),
                input_names=list(names or inputs),
                output_names=[OUTPUT],
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            cause: BaseException = error
            while cause.__cause__ is not None:  # torch's own message advises how to extend torch
                cause = cause.__cause__
            raise RunError(f"cannot write {path.name}: ONNX cannot express it ({one_line(cause)[:300]})") from error

    # torch notes for each node in which lines of this machine's files it was made
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
    program.save(path, external_data=weights > _ONE_FILE)

    if shapes is not None:  # torch may have fixed the batch size
        import onnx

        graph = onnx.load(path, load_external_data=False).graph
        fixed = [
            graph_input.name for graph_input in graph.input if not graph_input.type.tensor_type.shape.dim[0].dim_param
        ]
        if fixed:
            input_names = ", ".join(fixed)
            raise RunError(f"cannot write {path.name}: its inputs {input_names} would take batches of only one size")


def check_packages() -> None:
    """Raise ConfigError unless the packages of the extra `export` that write ONNX files are there."""
    try:
        for name in ("onnx", "onnxruntime", "onnxscript"):
            importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"export onnx needs more packages: {install('export')} ({error})") from error
