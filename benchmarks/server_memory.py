"""Memory of `pecl serve` while it works, ten minutes at most.

    python benchmarks/server_memory.py PICTURES --json results/server_memory.json

PICTURES is a folder of at least 50 photographs with an index (`pecl index PICTURES --thumbnails
--languages cs,en`). A server of the mini towers runs in its own process. Queries are captions of
`scenes`, which ship with pecl. After each stage the script reads the resident memory of the server,
and its peak, from Linux's /proc.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from pecl.data.scenes import load_scenes, scene_languages

SPOKEN = ("cs", "en")  # languages of the index
SHOWN = 50  # photographs


def measure(pictures: Path) -> list[dict[str, str | float]]:
    """Return the memory of a server after each stage, in units of 10^6 bytes."""
    with tempfile.TemporaryFile("w+") as log:
        command = [sys.executable, "-m", "pecl", "serve", "--index", str(pictures), "--port", "0"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=address_of(process, log), timeout=600, trust_env=False) as client:
                return [{"after": name} | memory_of(process.pid, act) for name, act in stages(client).items()]
        finally:
            process.terminate()
            process.wait()


def address_of(process: subprocess.Popen, log: tempfile._TemporaryFileWrapper) -> str:
    """Wait for the address in the server's log, and return it."""
    while process.poll() is None:
        log.seek(0)
        announced = re.search(r"(http://\S+) searches", log.read())
        if announced:
            return announced[1]
        time.sleep(0.2)
    raise SystemExit(f"the server ended with status {process.returncode}")


def stages(client: httpx.Client) -> dict[str, Callable[[], object]]:
    """Return what happens in each stage, by name."""

    def ask(languages: tuple[str, ...], number: int) -> None:
        for code in languages:
            for caption in load_scenes(code, size=100).target[:number]:
                client.post("/search", json={"query": caption}).raise_for_status()

    def show() -> None:
        answer = client.post("/search", json={"query": "a dog", "language": "en", "top": SHOWN}).json()
        for hit in answer["photographs"]:
            for kind in ("thumbnails", "photographs"):
                client.get(f"/{kind}/{hit['id']}").raise_for_status()

    def embed() -> None:
        texts = [caption for code in SPOKEN for caption in load_scenes(code, size=1000).target]
        client.post("/v1/embeddings", json={"model": "mini", "input": texts}).raise_for_status()

    every = tuple(scene_languages())
    return {
        "start": lambda: None,
        "1 query": lambda: ask(("en",), 1),
        f"{40 * len(SPOKEN)} queries in the {len(SPOKEN)} languages of the index": lambda: ask(SPOKEN, 40),
        f"{SHOWN} photographs shown": show,
        f"{10 * len(every)} queries in {len(every)} languages": lambda: ask(every, 10),
        "2,000 texts in one request": embed,
        "the same once more": lambda: (ask(SPOKEN, 40), show(), ask(every, 10), embed()),
    }


def memory_of(pid: int, act: Callable[[], object]) -> dict[str, float]:
    """Act, and return the resident memory of a process afterwards, and its peak since it started."""
    act()
    status = Path(f"/proc/{pid}/status").read_text()
    resident, peak = (int(re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)[1]) for name in ("VmRSS", "VmHWM"))
    return {"resident_mb": round(resident * 1024 / 1e6), "peak_mb": round(peak * 1024 / 1e6)}


def main() -> None:
    """Measure, print a table and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="folder of photographs with an index")
    parser.add_argument("--json", type=Path, help="file to write")
    parsed = parser.parse_args()
    figures = measure(parsed.pictures)
    for row in figures:
        print(f"| {row['after']} | {row['resident_mb'] / 1000:.1f} | {row['peak_mb'] / 1000:.1f} |")

    if parsed.json is not None:
        parsed.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
