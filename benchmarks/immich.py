"""Time that a server in front of immich's service adds to an image: `python benchmarks/immich.py [--json]`, a minute.

A stand-in for immich's machine learning service and the server run in their own processes. A client
sends forms with an image to both in alternation, over connections that stay open. The medians
differ by the time that the server adds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import torch
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pecl.apps.serving.models import Models
from pecl.apps.serving.server import serve
from pecl.apps.serving.service import Service
from pecl.apps.serving.sockets import address_of, open_socket
from pecl.apps.serving.upstream import Immich
from pecl.encoders.loading.mini import load_mini_text

SIZES = (50_000, 500_000)  # bytes of an image: immich sends its previews
ENTRIES = '{"clip": {"visual": {"modelName": "XLM-Roberta-Large-Vit-B-32"}}}'


def run_service() -> None:
    """Answer every form with what immich's service answers to an image."""

    async def predict(request: Request) -> Response:
        await request.body()
        return Response(json.dumps({"clip": json.dumps([0.5] * 512)}), media_type="application/json")

    app = Starlette(routes=[Route("/predict", predict, methods=["POST"])])
    with open_socket("127.0.0.1", 0) as listening:
        print(address_of(listening), flush=True)
        asyncio.run(uvicorn.Server(uvicorn.Config(app, log_level="critical")).serve([listening]))


def run_server(upstream: str) -> None:
    """Serve the mini tower in front of the stand-in."""
    with open_socket("127.0.0.1", 0) as listening:
        service = Service(Models("mini", load_mini_text()), immich=Immich(upstream, "XLM-Roberta-Large-Vit-B-32"))
        print(address_of(listening), flush=True)
        serve(service, listening, "127.0.0.1")


@contextmanager
def started(*words: str) -> Iterator[str]:
    """Yield the address of this file run in another process."""
    process = subprocess.Popen([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def measure(rounds: int) -> list[dict[str, float]]:
    """Return for each size the medians in milliseconds, without and with the server."""
    rows = []
    with (
        started("--service") as direct_address,
        started("--server", direct_address) as address,
        httpx.Client(timeout=120) as client,
    ):
        for size in SIZES:
            image = torch.randint(0, 256, (size,), dtype=torch.uint8).numpy().tobytes()
            times: dict[str, list[float]] = {direct_address: [], address: []}
            for _ in range(rounds):
                for base, seconds in times.items():
                    start = time.perf_counter()
                    client.post(f"{base}/predict", data={"entries": ENTRIES}, files={"image": ("blob", image)})
                    seconds.append(time.perf_counter() - start)
            direct, through = (1000 * statistics.median(seconds) for seconds in times.values())
            rows.append({"bytes": size, "direct_ms": direct, "through_ms": through, "added_ms": through - direct})

    return rows


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="images of each size (default: 200)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--service", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--server", metavar="URL", help=argparse.SUPPRESS)

    parsed = parser.parse_args()
    if parsed.service:
        run_service()
    elif parsed.server:
        run_server(parsed.server)
    elif parsed.json:
        print(json.dumps(measure(parsed.rounds), indent=2))
    else:
        for row in measure(parsed.rounds):
            print("{bytes:,} bytes: {direct_ms:.2f} ms, {through_ms:.2f} ms, added {added_ms:.2f} ms".format(**row))

    return 0


if __name__ == "__main__":
    sys.exit(main())
