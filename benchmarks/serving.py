"""Value of batching requests: `python benchmarks/serving.py [--json]`, under two minutes.

A server with the mini text tower and the ready adapters of 12 languages runs in its own process. Clients request one
caption of `scenes` at a time, in alternating languages, over connections that stay open:

- throughput: 32 clients at once, compared with one that waits for each answer;
- latency: the time of a request among 32 and by itself;
- equality: the largest difference between the answer to a request among 31 others and by itself.

The environment variables PECL_BACKEND and PECL_PRECISION choose the backend and the precision of the server.

`--passes` counts the CPU seconds of one mixed pass, of one pass per request and of the base encoder,
without a server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from figures import fastest

from pecl.adapters.formats.files import load_adapter_file
from pecl.adapters.ready import ready_adapters
from pecl.apps.serving.models import Models, TextJob
from pecl.apps.serving.server import serve
from pecl.apps.serving.service import Service
from pecl.apps.serving.sockets import open_socket
from pecl.backends.loading import load_text_encoder
from pecl.data.scenes import load_scenes, scene_languages

CLIENTS = 32
CODES = [code for code in scene_languages() if code != "en"] + ["nl"]  # 12; the last uses German captions


def models() -> Models:
    """Return the mini text tower with the ready adapters of 12 languages."""
    tower = load_text_encoder("mini")
    paths = ready_adapters("mini")
    loaded = Models("mini", tower)
    for code in CODES:
        loaded.add(code, load_adapter_file(paths[code], tower))
    return loaded


def passes() -> dict[str, float]:
    """Measure the CPU seconds of 32 captions on one thread, which other work does not change."""
    torch.set_num_threads(1)
    loaded = models()
    captions = {code: load_scenes("de" if code == "nl" else code, size=100).target for code in CODES}
    told = [(captions[CODES[i % 12]][i // 12], CODES[i % 12]) for i in range(CLIENTS)]
    jobs = [TextJob([text], [code]) for text, code in told]
    loaded.embed(jobs[:4])  # warm
    ways = {
        "one_mixed_pass": lambda: loaded.embed(jobs),
        "one_after_the_other": lambda: [loaded.embed([job]) for job in jobs],
        "plain_tower": lambda: loaded.embed([TextJob([text], [None]) for text, _ in told]),
    }

    return fastest(ways, 2)


def run_server() -> None:
    """Serve until stopped; print the port as the first line."""
    with open_socket("127.0.0.1", 0) as listening:
        service = Service(models())
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        serve(service, listening, "127.0.0.1")


def requests(number: int) -> list[bytes]:
    """Return requests with one caption each, in alternating languages."""
    captions = {code: load_scenes("de" if code == "nl" else code, size=100).target for code in CODES}
    made = []
    for i in range(number):
        code = CODES[i % len(CODES)]
        body = json.dumps({"model": f"mini:{code}", "input": captions[code][(i // len(CODES)) % 100]}).encode()
        head = "POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        made.append(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)

    return made


async def talk(port: int, asked: list[bytes]) -> list[tuple[float, list[float]]]:
    """Send requests one by one over one connection; return seconds and embedding of each."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    for request in asked:
        start = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.splitlines() if line.startswith(b"content-length"))
        body = await reader.readexactly(length)
        seconds = time.perf_counter() - start
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(body.decode())
        answers.append((seconds, body))

    writer.close()
    return [(seconds, json.loads(body)["data"][0]["embedding"]) for seconds, body in answers]


async def measure(port: int, each: int, rounds: int) -> dict[str, Any]:
    """Time the clients with `each` requests and one client in turn, and compare their answers."""
    asked = requests(CLIENTS * each)
    single = asked[: 4 * CLIENTS]
    together_seconds, single_seconds = [], []
    await talk(port, asked[:CLIENTS])  # warm

    for _ in range(rounds):
        start = time.perf_counter()
        alone = await talk(port, single)
        single_seconds.append((time.perf_counter() - start) / len(single))
        start = time.perf_counter()
        many = await asyncio.gather(*(talk(port, asked[i::CLIENTS]) for i in range(CLIENTS)))
        together_seconds.append((time.perf_counter() - start) / len(asked))

    of_client = [embedding for i in range(len(single)) for _, embedding in [many[i % CLIENTS][i // CLIENTS]]]
    difference = (torch.tensor(of_client) - torch.tensor([embedding for _, embedding in alone])).abs().max().item()
    waited = [seconds for answers in many for seconds, _ in answers]
    return {
        "clients": CLIENTS,
        "languages": len(CODES),
        "requests_per_second_together": 1 / min(together_seconds),
        "requests_per_second_alone": 1 / min(single_seconds),
        "ratio": min(single_seconds) / min(together_seconds),
        "median_ms_together": 1000 * statistics.median(waited),
        "median_ms_alone": 1000 * statistics.median(seconds for seconds, _ in alone),
        "largest_difference": difference,
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the value of batching requests.")
    parser.add_argument("--requests", type=int, default=12, help="requests of each client")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the fastest counts")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--passes", action="store_true", help="only CPU seconds of passes, without a server")
    parser.add_argument("--server", action="store_true", help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.server:
        run_server()
        return

    if parsed.passes:
        print(json.dumps(passes(), indent=2))
        return

    server = subprocess.Popen([sys.executable, __file__, "--server"], stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        port = int(server.stdout.readline())
        time.sleep(1)
        figures = asyncio.run(measure(port, parsed.requests, parsed.rounds))
    finally:
        server.terminate()
        server.wait(30)

    if parsed.json:
        print(json.dumps(figures, indent=2))
        return

    per_second, alone = figures["requests_per_second_together"], figures["requests_per_second_alone"]
    milliseconds = figures["median_ms_together"], figures["median_ms_alone"]
    print(
        f"{figures['clients']} clients in {figures['languages']} languages: {per_second:.0f} requests per second, "
        f"one client {alone:.0f}: {figures['ratio']:.1f} times as many\n"
        f"a request takes {milliseconds[0]:.0f} ms among them, {milliseconds[1]:.0f} ms with one client "
        f"(5 ms of it are the window)\nlargest difference of an embedding: {figures['largest_difference']:.1e}"
    )


if __name__ == "__main__":
    main()
