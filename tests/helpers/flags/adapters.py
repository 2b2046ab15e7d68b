"""The flags of the commands on adapters and towers as files: adapters and export."""

from pathlib import Path
from types import SimpleNamespace

from helpers.flags.data import JSON
from helpers.flags.fields import rows_of_fields
from helpers.flags.table import REAL, Has, Row, Table
from pecl.adapters.choice import AdapterChoice
from pecl.adapters.formats.files import AdapterFile
from pecl.adapters.spec import parse_adapter

CONFIGS = parse_adapter("lora")
TOWERS = SimpleNamespace(text=SimpleNamespace(name="plain text"), image=SimpleNamespace(name="image"))
FILE = AdapterFile(Path("cs.safetensors"), "cs", CONFIGS, {}, "plain text", "0" * 64)
MERGED = SimpleNamespace(name="merged text")
BANK = SimpleNamespace(languages=["cs"], single=lambda: SimpleNamespace(configs=CONFIGS))


class Chosen(AdapterChoice):
    """The choice of an adapter whose file needs no tower."""

    def read(self, tower):
        return FILE


TEXT_TOWER = ("profile", "text_model", "device")

ADAPTERS_LIST = Table(
    "adapters list folder",
    {"list_adapters": [{"file": "cs.safetensors", "terms": {}}]},
    [("folder", "list_adapters.folder", Path("folder")), JSON],
    elsewhere={"--engine": "tests/apps/commands/test_adapters.py"},  # not with a folder
)

ADAPTERS_SHOW = Table(
    "adapters show lora",
    {"pecl.adapters.spec.parse_adapter": REAL},
    [
        ("adapter", "parse_adapter.spec", "lora"),
        ("--rank 3", "parse_adapter.rank", 3),
        ("--adapter-layers top-2", "parse_adapter.layers", "top-2"),
        ("--engine peft", "output.text", Has("use_dora")),  # an option of PEFT's LoRA
        JSON,
    ],
)

ADAPTERS_CONVERT = Table(
    "adapters convert source.ckpt target.safetensors",
    {"load_towers": TOWERS, "read_adapter": FILE, "write_adapter": Path("target.safetensors")},
    together=rows_of_fields("load_towers", TEXT_TOWER),
    rows=[
        ("source", "read_adapter.path", "source.ckpt"),
        ("target", "write_adapter.path", "target.safetensors"),
        ("--language Czech", "read_adapter.language", "cs"),
        ("--adapter lora", "read_adapter.configs", CONFIGS),
        ("--config profile.yaml", "load_towers.profile", "paper"),
    ],
)

ADAPTERS_MERGE = Table(
    "adapters merge source.safetensors folder",
    {"load_towers": TOWERS, "read_adapter": FILE, "merge_adapter": MERGED, "save_text_encoder": Path("folder")},
    together=rows_of_fields("load_towers", TEXT_TOWER),
    rows=[
        ("source", "read_adapter.path", "source.safetensors"),
        ("target", "save_text_encoder.folder", "folder"),
        ("target", "save_text_encoder.tower", MERGED),
        ("--config profile.yaml", "load_towers.profile", "paper"),
    ],
)

ADAPTERS_PUSH = Table(
    "adapters push one.safetensors results me/adapters",
    {"push": "me/adapters@1", "best_adapters": [Path("best.safetensors")]},
    [
        ("sources", "push.sources", [Path("one.safetensors"), Path("results")]),
        ("target", "push.target", "me/adapters"),
        ("--best", "best_adapters.folders", [Path("one.safetensors"), Path("results")]),
        ("--best", "push.sources", [Path("best.safetensors")]),
        ("--licence mit", "push.licence", "mit"),
        ("--private", "push.private", True),
    ],
)

ADAPTERS_PULL = Table(
    "adapters pull me/adapters folder",
    {"load_towers": TOWERS, "pull": [Path("folder/cs.safetensors")]},
    together=rows_of_fields("load_towers", TEXT_TOWER),
    rows=[
        ("source", "pull.source", "me/adapters"),
        ("target", "pull.target", Path("folder")),
        ("target", "pull.tower", TOWERS.text),
        ("--config profile.yaml", "load_towers.profile", "paper"),
    ],
)

# --- export

CHOICE = {
    "load_towers": TOWERS,
    "KnownAdapters.__init__": REAL,
    "KnownAdapters.choose": Chosen(FILE.path, "cs"),
    "merge_adapter": MERGED,
}
PLAIN = {**CHOICE, "KnownAdapters.choose": AdapterChoice(None, "none")}


def tower_flags(*names: str) -> list[Row]:
    """Return rows for the towers that are loaded, and for the tower whose adapters are known."""
    return rows_of_fields("load_towers", names)


BOTH = ("profile", "text_model", "image_model")

EXPORT_SENTENCE_TRANSFORMERS = Table(
    "export sentence-transformers folder",
    {
        **CHOICE,
        "pecl.apps.export.sentence_transformers.export_towers": Path("folder"),
        "pecl.apps.export.sentence_transformers.export_adapter": Path("folder"),
    },
    together=tower_flags(*BOTH),
    rows=[
        ("target", "export_towers.target", "folder"),
        ("--text-model mini-pooled", "__init__.text_model", "mini-pooled"),
        ("--profile paper", "__init__.profile", "paper"),
        ("--config profile.yaml", "load_towers.profile", "paper"),
        ("--adapter cs", "choose.name", "cs"),
        ("--text-only", "export_towers.image", None),
        ("--adapter cs --base plain --adapter-only", "export_adapter.adapter", FILE),
        ("--adapter cs --adapter-only --base plain", "export_adapter.base", "plain"),
    ],
)

EXPORT_OPEN_CLIP = Table(
    "export open-clip folder",
    {**CHOICE, "pecl.apps.export.open_clip.export_open_clip": Path("folder")},
    together=tower_flags(*BOTH),
    rows=[
        ("target", "export_open_clip.target", "folder"),
        ("target", "export_open_clip.text", MERGED),
        ("--config profile.yaml", "load_towers.profile", "paper"),
        ("--adapter cs", "choose.name", "cs"),
    ],
)

EXPORT_ONNX = Table(
    "export onnx folder",
    {**CHOICE, "pecl.apps.export.onnx.export_onnx": Path("folder"), "AdapterBank.from_files": BANK},
    together=tower_flags(*BOTH),
    rows=[
        ("target", "export_onnx.target", "folder"),
        ("--config profile.yaml", "load_towers.profile", "paper"),
        ("--adapter cs", "choose.name", "cs"),
        ("--int8", "export_onnx.int8", True),
        ("--text-only", "export_onnx.image", None),
        ("--adapter cs --slots", "export_onnx.text", BANK),
        ("--slots --adapter cs --adapter cs", "from_files.paths", [FILE.path, FILE.path]),
    ],
)

EXPORT_PEFT = Table(
    "export peft folder --adapter de",
    {**CHOICE, "pecl.apps.export.peft.export_peft": Path("folder")},
    together=tower_flags(*BOTH),
    rows=[
        ("target", "export_peft.target", "folder"),
        ("target", "export_peft.adapter", FILE),
        ("target", "export_peft.tower", TOWERS.text),
        ("--config profile.yaml", "load_towers.profile", "paper"),
        ("--adapter cs", "choose.name", "cs"),
        ("--base plain", "export_peft.base", "plain"),
    ],
)

EXPORT_IMMICH = Table(
    "export immich --tower XLM-Roberta-Large-Vit-B-32 --language Czech --out folder",
    {**CHOICE, "pecl.apps.export.immich.export_immich": Path("folder")},
    together=tower_flags("text_model", "image_model"),
    rows=[
        ("--tower ViT-B-32-SigLIP2-256__webli", "load_towers.text_model", "open_clip:ViT-B-32-SigLIP2-256/webli"),
        ("--language cs", "choose.language", "cs"),
        ("--adapter cs.safetensors", "choose.name", "cs.safetensors"),
        ("--out other", "export_immich.target", "other"),
        ("--text-only", "export_immich.image", None),
        ("--config towers.yaml", "load_towers.image_model", "other/image"),
    ],
)
