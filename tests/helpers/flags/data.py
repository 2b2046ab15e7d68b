"""The flags of the commands on data and languages: data, languages, embed, index, towers and doctor."""

from pathlib import Path

from helpers.flags.fields import rows_of_fields
from helpers.flags.table import REAL, STOP, Has, Table
from helpers.small_experiment import tiny_towers
from pecl.apps.bulk.embed import Embedded
from pecl.apps.search.build import IndexReport
from pecl.apps.search.forget import ForgetReport
from pecl.data.check import CheckReport
from pecl.data.download import DownloadReport
from pecl.data.translating.translate import TranslationJob

JSON = ("--json", "output.is_json", True)
JOB = TranslationJob([], Path("out"), lambda texts: b"", {})
INDEXED = IndexReport(Path("index"), 3, new=3, changed=0, moved=0, removed=0, unreadable={})
FORGOTTEN = ForgetReport(Path("index"), photographs=3, embeddings=3)

DATA_LIST = Table("data list", {}, [("--data-dir there", "output.text", Has("data sets in there\n")), JSON])

DATA_DOWNLOAD = Table(
    "data download xtd10 pectvlm",
    {"download": DownloadReport()},
    [
        ("names", "download.names", ["xtd10", "pectvlm"]),
        ("--base-url http://mirror/", "download.mirror", "http://mirror/"),
        ("--text-only", "download.text_only", True),
        ("--overwrite", "download.overwrite", True),
        ("--workers 7", "download.workers", 7),
        ("--timeout 9", "download.policy.timeout", 9.0),
        ("--attempts 3", "download.policy.attempts", 3),
        ("--data-dir there", "download.data_dir", Path("there")),
        JSON,
    ],
)

DATA_CHECK = Table(
    "data check captions.csv",
    {"check_table": CheckReport([], {})},
    [("target", "check_table.path", "captions.csv"), ("--text-only", "check_table.open_images", False), JSON],
)

DATA_CHECK_OF_A_SET = Table(
    "data check xtd10",
    {"check_dataset": CheckReport([], {})},
    [
        ("target", "check_dataset.name", "xtd10"),
        ("--text-only", "check_dataset.open_images", False),
        ("--data-dir there", "check_dataset.data_dir", "there"),
    ],
)

_TRANSLATE = "--source de --target en --model opus"

DATA_TRANSLATE = Table(
    f"data translate multi30k {_TRANSLATE}",
    {
        "dataset_job": JOB,
        "completed": None,
        "pecl.data.translating.mt.Translator": None,
        "translate_job": {"sentences": 0},
    },
    [
        ("what", "dataset_job.name", "multi30k"),
        ("--source cs", "dataset_job.source", "cs"),
        ("--source cs", "Translator.config.source", "cs"),
        ("--target fr", "dataset_job.target", "fr"),
        ("--target fr", "Translator.config.target", "fr"),
        ("--model nllb", "Translator.config.model", "nllb"),
        ("--revision v2", "Translator.config.revision", "v2"),
        ("--split val", "dataset_job.split", "val"),
        ("--data-dir there", "dataset_job.data_dir", "there"),
        ("--overwrite", "completed.overwrite", True),
        ("--num-beams 2", "Translator.config.num_beams", 2),
        ("--max-new-tokens 33", "Translator.config.max_new_tokens", 33),
        ("--batch-size 5", "translate_job.batch_size", 5),
        ("--dtype bfloat16", "Translator.config.dtype", "bfloat16"),
        ("--device cuda:1", "Translator.config.device", "cuda:1"),
        JSON,
    ],
)

DATA_TRANSLATE_A_FILE = Table(
    f"data translate captions.csv {_TRANSLATE} --out a.csv",
    {"file_job": STOP},
    [("what", "file_job.path", "captions.csv"), ("--out b.csv", "file_job.output", "b.csv")],
)

LANGUAGES = Table(
    "languages",
    {},
    [
        ("--json --script Cyrl", "output.document.0.script", "Cyrl"),
        ("--json --region Europe", "output.document.0.region", "Europe"),
        ("--by script", "output.text", Has("\nCyrl  ")),
        JSON,
    ],
)

LANGUAGES_BY_NAME = Table("languages Czech --json", {}, [("names", "output.document.0.code", "cs")])

RECIPES = Table(
    "recipes unpaired",
    {},
    [
        ("names", "output.text", Has("mixtures")),
        ("--bibtex", "output.text", Has("@inproceedings{chung2026uclip,")),
        JSON,
    ],
)

EMBED = Table(
    "embed lines.txt --out embedded",
    {"embed": Embedded([], 0, {}), "use_threads": REAL},
    together=rows_of_fields("embed.towers", ("profile", "text_model", "image_model", "device", "precision")),
    rows=[
        ("source", "embed.source", "lines.txt"),
        ("source", "embed.language", None),  # lines have no language by default
        ("--out rows", "embed.out", "rows"),
        ("--kind images", "embed.kind", "images"),
        ("--column english", "embed.column", "english"),
        ("--adapter mini:cs", "embed.adapter", "mini:cs"),
        ("--batch-size 5", "embed.batch_size", 5),
        ("--no-normalize", "embed.normalize", False),
        ("--ray 2", "embed.ray_workers", 2),
        ("--backend openvino", "embed.backend", "openvino"),
        ("--language cs", "embed.language", "cs"),
        ("--data-dir there", "embed.data_dir", "there"),
        ("--threads 1", "use_threads.number", 1),
        ("--config language.yaml", "embed.language", "fr"),
        JSON,
    ],
)

INDEX = Table(
    "index photographs",
    {"build_index": INDEXED, "forget_index": FORGOTTEN, "pecl.training.distributed.use_threads": REAL},
    [
        ("folder", "build_index.folder", "photographs"),
        ("--out there", "build_index.out", "there"),
        ("--profile paper", "build_index.options.profile", "paper"),
        ("--thumbnails", "build_index.options.thumbnails", True),
        ("--no-thumbnails", "build_index.options.thumbnails", False),
        ("--engine qdrant", "build_index.options.engine", "qdrant"),
        ("--url http://server", "build_index.options.url", "http://server"),
        ("--languages cs,de", "build_index.options.languages", ["cs", "de"]),
        ("--words", "build_index.options.words", True),
        ("--no-words", "build_index.options.words", False),
        ("--rebuild", "build_index.options.rebuild", True),
        ("--backend openvino", "build_index.options.backend", "openvino"),
        ("--forget", "forget_index.folder", "photographs"),
        ("--forget --out there", "forget_index.out", "there"),
        ("--device cuda:1", "build_index.options.device", "cuda:1"),
        ("--threads 1", "use_threads.number", 1),
        JSON,
    ],
)

TOWERS_LIST = Table("towers list", {}, [JSON])


TOWERS_CHECK = Table(
    "towers check paper",
    {
        "pecl.encoders.towers.load_text_encoder": lambda: tiny_towers().text,
        "pecl.encoders.towers.load_image_encoder": lambda: tiny_towers().image,
    },
    [("tower", "load_text_encoder.name_or_path", "paper"), ("tower", "load_image_encoder.name_or_path", "paper"), JSON],
)

DOCTOR = Table(
    "doctor", {"find_data_dir": Path("there")}, [("--data-dir there", "find_data_dir.data_dir", "there"), JSON]
)
