"""Faults of the server: everyone gets their own embeddings, nothing is lost, and nothing is opened."""

from mutants.table import Mutant

_MODELS, _BATCHING = "pecl/serving/models.py", "pecl/serving/batching.py"
_APP, _SERVER, _ADAPTERS = "pecl/serving/app.py", "pecl/serving/server.py", "pecl/serving/adapters.py"
_EMBEDDINGS, _SEARCH, _PICTURES = "pecl/serving/embeddings.py", "pecl/serving/search.py", "pecl/serving/pictures.py"
_SOCKETS = "pecl/serving/sockets.py"
_CONNECTIONS, _REQUESTS = "pecl/serving/connections.py", "pecl/serving/requests.py"


def _test(name: str) -> tuple[str, ...]:
    return (f"tests/serving/test_{name}.py",)


MUTANTS = [
    Mutant(name, file, before, after, _test(test), science=True)
    for name, file, before, after, test in (
        ("every text goes through slot 0", _MODELS, "else bank.slot(name))", "else 0)", "models"),
        (
            "rows of a pass lie in another job's places",
            _MODELS,
            "rows.places.append((number, place))",
            "rows.places.append((number, -1 - place))",
            "models",
        ),
        ("served embeddings keep their lengths", _MODELS, "slots), dim=1)", "slots) + 0, dim=0)", "models"),
        ("an unknown language is English", _MODELS, "if found is None and language", "if False and language", "models"),
        ("texts that are too long are cut in silence", _MODELS, "{} if job.truncate", "{} if True", "models"),
        (
            "the language of an input is that of the request",
            _EMBEDDINGS,
            'language = item.get("language", language)',
            "language = language",
            "embeddings",
        ),
        (
            "pictures take the places of texts",
            _EMBEDDINGS,
            "inputs.picture_places.append(place)",
            "inputs.picture_places.append(len(inputs.picture_places))",
            "embeddings",
        ),
        (
            "the tower alone is searched with the adapter",
            _SEARCH,
            "if use_adapter else None",
            "if True else None",
            "search",
        ),
        ("what is to be left out is added", _SEARCH, '-row if name == "minus" else row', "row", "search"),
    )
] + [
    Mutant(name, file, before, after, _test(test))
    for name, file, before, after, test in (
        ("the queue has no end", _BATCHING, "if self._size + len(job) > self._most_waiting:", "if False:", "batching"),
        ("the queue never empties", _BATCHING, "        self._size -= size\n", "        self._size -= 0\n", "batching"),
        ("each request is a pass", _BATCHING, "while self._queue and size", "while False and size", "batching"),
        ("one failure fails a whole pass", _BATCHING, "if isinstance(answer, Exception):", "if False:", "batching"),
        (
            "a stop closes the door at once",
            _SERVER,
            "            await asyncio.sleep(_LINGER / _TURNS)",
            "            pass",
            "server",
        ),
        ("a stop waits by the clock alone", _SERVER, "_TURNS = 2 * BACKLOG // _AT_ONCE", "_TURNS = 1", "server"),
        ("a stopping server keeps connections", _SERVER, "self.service.stopping = True", "pass", "server"),
        ("any host is answered", _APP, "if name.lower() not in self.hosts:", "if False:", "bad_requests"),
        (
            "another name for the loopback goes without the check",
            _SOCKETS,
            '    if not (getattr(address, "ipv4_mapped", None) or address).is_loopback:',
            "    if host not in LOOPBACK:",
            "server",
        ),
        (
            "photographs are shown within pages of other sites",
            _APP,
            '        ("cross-origin-resource-policy", "same-origin"),',
            "       ",
            "search",
        ),
        ("a head is waited for without end", _CONNECTIONS, "elif self._timer is None:", "elif False:", "connections"),
        (
            "each byte of a head gives it more time",
            _CONNECTIONS,
            "        super().data_received(data)\n",
            "        super().data_received(data)\n        self._stop_timer()\n",
            "connections",
        ),
        (
            "idle connections lock others out",
            _CONNECTIONS,
            "if most is not None and len(self.connections) > most:",
            "if False:",
            "connections",
        ),
        ("an answer that is not read keeps its connection", _CONNECTIONS, "elif unsent:", "elif False:", "connections"),
        (
            "a long request keeps short ones waiting",
            "pecl/serving/service.py",
            "job.parts(self.limits.together)",
            "[job]",
            "embeddings",
        ),
        ("a key is not asked for", _APP, "if self.key is not None:", "if False:", "keys"),
        (
            "a key is found out by its time",
            "pecl/serving/keys.py",
            "hmac.compare_digest(_presented(given), key)",
            "_presented(given) == key",
            "keys",
        ),
        ("values of a body are not counted", _REQUESTS, "    if number > most:", "    if False:", "json"),
        (
            "JSON is read in the event loop",
            _REQUESTS,
            "await service.with_json(lambda: _parse(body, limits.values))",
            "_parse(body, limits.values)",
            "json",
        ),
        (
            "an adapter is loaded through a link",
            _ADAPTERS,
            "entry.is_file(follow_symlinks=False)",
            "entry.is_file()",
            "adapters",
        ),
        (
            "a file is loaded by its path",
            _ADAPTERS,
            "    if wanted not in found:",
            "    if (folder / wanted).is_file():\n        return folder / wanted\n    if wanted not in found:",
            "adapters",
        ),
        (
            "a picture of any size is decoded",
            _PICTURES,
            "FORMATS, limits.picture_pixels)",
            "FORMATS)",
            "bad_requests",
        ),
    )
]
