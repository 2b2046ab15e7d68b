"""CPU time of one query besides its pass, in the tower, a bank, an index and the server.

    python benchmarks/queries.py

A stand-in for a runtime answers each pass at once, so what is left is pecl's own work: reading,
language, tokens, batches, the head, the comparison with photographs, and HTTP. One thread; the
median of 300 queries. Of the server, it is the CPU time of its process per request. The index has
1,000 photographs of random embeddings, and its time includes the detection of the language.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import serving
import torch

from pecl.adapters.bank import AdapterBank
from pecl.adapters.choice import KnownAdapters
from pecl.apps.search.build import build_index
from pecl.apps.search.encoder import QueryEncoder
from pecl.apps.search.index import ImageIndex
from pecl.apps.serving.server import serve
from pecl.apps.serving.service import Service
from pecl.apps.serving.sockets import open_socket
from pecl.data.scenes import load_scenes
from pecl.encoders.image import ImageEncoder
from pecl.encoders.loading.mini import load_mini_text
from pecl.errors import not_none

QUERIES = 300
PHOTOGRAPHS = 1000


class StandIn:
    """A runtime that computes nothing."""

    name = "none"
    precision = "fp32"

    def computes(self, tower: Any) -> bool:
        """Return True."""
        return True

    def __call__(self, tower: Any, inputs: Any) -> torch.Tensor:
        """Return pooled vectors (B, d)."""
        return torch.ones(len(inputs.input_ids), tower.backbone.config.hidden_size)


def microseconds(query: Callable[[str], object], texts: list[str]) -> float:
    """Return the median CPU time of a query."""
    for text in texts[:20]:
        query(text)

    times = []
    for text in texts:
        start = time.process_time()
        query(text)
        times.append(time.process_time() - start)
    return 1e6 * median(times)


def make_index(folder: Path) -> ImageIndex:
    """Return an index of 1,000 small pictures, whose queries meet the stand-in."""
    images = not_none(load_scenes("de", size=20).images, "images")
    for i in range(PHOTOGRAPHS):
        picture = images.load(i % 20).resize((24, 24))
        picture.putpixel((0, 0), (i % 256, i // 256, 0))  # no two are equal
        picture.save(folder / f"{i:04}.png")

    ImageEncoder.encode_ahead = lambda self, pictures, **_: torch.from_numpy(  # type: ignore[method-assign]
        np.random.default_rng(0).standard_normal((len(list(pictures)), 256), np.float32)
    )
    build_index(folder, folder / "index")
    queries = QueryEncoder("mini", backend="torch", among=("de", "en", "cs"))
    queries.plain.runtime = StandIn()
    return ImageIndex.open(folder / "index", queries=queries)


def run_server() -> None:
    """Serve with the stand-in until stopped; print the port as the first line."""
    models = serving.models()
    for tower in (models.tower, *(spec.tower for spec in models.specs)):
        tower.runtime = StandIn()
    with open_socket("127.0.0.1", 0) as listening:
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        serve(Service(models), listening, "127.0.0.1")


def cpu_seconds(process: int) -> float:
    """Return the CPU time of a process and of its threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def of_server() -> float:
    """Return microseconds of the server's CPU time per request, one client."""
    server = subprocess.Popen([sys.executable, __file__, "--server"], stdout=subprocess.PIPE, text=True)
    try:
        port = int(not_none(server.stdout, "output").readline())
        time.sleep(1)
        asked = serving.requests(QUERIES * 4)
        asyncio.run(serving.talk(port, asked[:QUERIES]))
        start = cpu_seconds(server.pid)
        asyncio.run(serving.talk(port, asked))
        return 1e6 * (cpu_seconds(server.pid) - start) / len(asked)
    finally:
        server.terminate()
        server.wait(30)


def main() -> None:
    """Print a line per place."""
    if "--server" in sys.argv:
        run_server()
        return

    torch.set_num_threads(1)
    texts = load_scenes("de", size=QUERIES).target
    tower = load_mini_text()
    tower.runtime = StandIn()
    known = KnownAdapters("mini")
    bank = AdapterBank.from_files(tower, [known.paths["cs"], known.paths["de"]])
    print(f"tower   {microseconds(tower.encode_text, texts):6.0f} us")
    print(f"bank    {microseconds(lambda text: bank.encode_text([text], language='de'), texts):6.0f} us")
    with tempfile.TemporaryDirectory() as folder, make_index(Path(folder)) as index:
        print(f"index   {microseconds(lambda text: index.search(text), texts):6.0f} us")
    print(f"server  {of_server():6.0f} us")


if __name__ == "__main__":
    main()
