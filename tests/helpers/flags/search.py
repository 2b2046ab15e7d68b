"""The flags of `pecl search` and `pecl serve`."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from helpers.flags.data import JSON
from helpers.flags.fields import rows_of_fields
from helpers.flags.table import REAL, STOP, Table
from helpers.small_experiment import tiny_towers
from pecl.adapters.choice import AdapterChoice
from pecl.apps.search.encoder import QueryEncoder
from pecl.apps.search.index import ImageIndex
from pecl.apps.search.query import Query, QueryLanguage
from pecl.apps.search.words import Group, Name, Selection

READ = Query("dog", language=QueryLanguage("de", (("de", 1.0),)))
KNOWN = SimpleNamespace(for_language=lambda _: AdapterChoice(None, "none"))
NAMED = Selection("dog", groups=(Group(np.arange(2), 1.0, leads=False),), names=(Name("dog", 2, leads=False),))


def index() -> ImageIndex:
    """Return an index whose methods are replaced."""
    opened = object.__new__(ImageIndex)
    queries = object.__new__(QueryEncoder)
    queries.known = KNOWN
    vars(opened).update(queries=queries, uncorrected="")
    return opened


SEARCH = Table(
    "search album dog",
    {
        "ImageIndex.open": index,
        "ImageIndex.select": NAMED,
        "ImageIndex.embed_queries": np.ones((1, 8)),
        "ImageIndex.nearest": [],
        "ImageIndex.close": None,
        "pecl.apps.search.encoder.QueryEncoder.read": READ,
        "pecl.apps.search.page.write_search_page": None,
        "pecl.training.distributed.use_threads": REAL,
    },
    [
        ("index", "open.folder", "album"),
        ("text", "select.text", "dog"),
        ("--language cs", "read.query.language", "cs"),
        ("--image dog.jpg", "read.query.image", Path("dog.jpg")),
        ("--minus beach", "read.query.minus", "beach"),
        ("--after 2019", "select.after", "2019"),
        ("--before 2020", "select.before", "2020"),
        ("--exactly", "read.query.exactly", True),
        ("--no-words", "nearest.selection", NAMED.without_names()),
        ("--no-words --words", "nearest.selection.groups", NAMED.groups),
        ("--top 3", "nearest.top", 3),
        ("--no-correct-hubs", "nearest.corrected", False),
        ("--no-correct-hubs --correct-hubs", "nearest.corrected", True),
        ("--adapter mini:cs --adapter a.safetensors", "open.adapters", ["mini:cs", "a.safetensors"]),
        ("--backend openvino", "open.backend", "openvino"),
        ("--device cuda:1", "open.device", "cuda:1"),
        ("--threads 1", "use_threads.number", 1),
        ("--html found.html", "write_search_page.path", "found.html"),
        JSON,
    ],
)

ROWS = SimpleNamespace(check=lambda *_: None, nearest=lambda query, top: [])
ENCODER = SimpleNamespace(
    plain=SimpleNamespace(embedding_dim=8),
    read=lambda _: READ,
    known=KNOWN,
    embed=lambda *_: torch.ones(1, 8),
)

SEARCH_IN_ROWS = Table(
    "search dog --embeddings rows.parquet",
    {"ImageRows": ROWS, "pecl.apps.search.encoder.QueryEncoder": ENCODER},
    [
        ("--embeddings other.parquet", "ImageRows.embeddings", "other.parquet"),
        ("--profile paper", "QueryEncoder.profile", "paper"),
        ("--adapter mini:cs", "QueryEncoder.adapters", ["mini:cs"]),
        ("--backend openvino", "QueryEncoder.backend", "openvino"),
        ("--device cuda:1", "QueryEncoder.device", "cuda:1"),
    ],
)

SEARCH_IN_A_COLLECTION = Table(
    "search dog",
    {"CollectionRows": ROWS, "pecl.apps.search.encoder.QueryEncoder": ENCODER},
    [
        ("--url http://server --engine qdrant --collection photos", "CollectionRows.collection", "photos"),
        ("--engine qdrant --collection photos --url http://server", "CollectionRows.url", "http://server"),
        ("--url http://server --collection photos --engine qdrant", "CollectionRows.collection", "photos"),
        (
            "--url http://server --engine qdrant --collection photos --vector image",
            "CollectionRows.vector",
            "image",
        ),
    ],
)

# --- serve

LOADED = {"pecl.adapters.ready.ready_adapters": {}, "pecl.backends.loading.load_towers": tiny_towers}
LIMITS = {"window": "--window 0.5", "waiting": "--max-waiting 9000", "body_bytes": "--max-body-bytes 2000"}


SERVE = Table(
    "serve --port 0",
    {
        **LOADED,
        "pecl.apps.serving.server.serve": None,
        "torch.set_num_threads": None,
    },
    together=[
        *rows_of_fields("load_towers", ("profile", "text_model", "image_model", "device", "precision")),
        *((typed, f"serve.service.limits.{name}", float(typed.split()[1])) for name, typed in LIMITS.items()),
    ],
    rows=[
        ("--adapters-dir adapters", "serve.service.adapters_dir.name", "adapters"),
        ("--host localhost", "serve.host", "localhost"),
        ("--api-key-file key.txt", "serve.key", b"0123456789abcdef"),
        ("--access-log", "serve.access_log", True),
        ("--threads 2", "set_num_threads.0", 2),
        ("--config profile.yaml", "load_towers.profile", "paper"),
    ],
    elsewhere={"--open": "tests/apps/serving/test_command.py, with the thread that opens the browser"},
)

SERVE_BACKEND = Table(
    "serve --port 0",
    {**LOADED, "check_backend": None, "pecl.backends.loading.load_towers": STOP},
    [("--backend openvino", "load_towers.backend", "openvino")],
)

SERVE_SOCKET = Table(
    "serve",
    {**LOADED, "check_port": None, "open_socket": STOP},
    [
        ("--port 8123", "check_port.port", 8123),
        ("--port 8123", "open_socket.port", 8123),
        ("--host localhost", "open_socket.host", "localhost"),
    ],
)

IMMICH = {**LOADED, "pecl.apps.serving.upstream.Immich.__init__": STOP, "pecl.apps.serving.server.serve": None}

SERVE_FOR_IMMICH = Table(
    "serve --port 0 --profile vit-b-32",
    IMMICH,
    [("--immich-upstream http://immich", "__init__.upstream", "http://immich")],
)

SERVE_ANOTHER_TOWER_FOR_IMMICH = Table(
    "serve --port 0 --text-model mini-pooled --immich-upstream http://immich",
    IMMICH,
    [("--immich-model ViT-B-16-SigLIP2__webli", "__init__.model", "ViT-B-16-SigLIP2__webli")],
)

SERVE_ADAPTERS = Table(
    "serve --port 0",
    {"pecl.adapters.choice.KnownAdapters.__init__": STOP},
    [
        ("--adapter cs de", "__init__.named", ["cs", "de"]),
        ("--profile paper", "__init__.profile", "paper"),
        ("--text-model mini-pooled", "__init__.text_model", "mini-pooled"),
    ],
)

SERVE_INDEX = Table(
    "serve --port 0",
    {
        **LOADED,
        "profile_of": "paper",
        "ImageIndex.open": lambda: nullcontext(SimpleNamespace(head=SimpleNamespace(profile="paper"), root="album")),
        "pecl.apps.serving.photographs.Photographs.__init__": STOP,
        "pecl.apps.serving.server.serve": None,
    },
    [
        ("--index album", "profile_of.folder", "album"),
        ("--index album", "__init__.folder", "album"),
        ("--index album", "load_towers.profile", "paper"),
    ],
)
