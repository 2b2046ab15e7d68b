"""The part of Qdrant's REST interface that a search in a foreign collection asks for, over its client's own double."""

import contextlib
import json

from qdrant_client import QdrantClient
from qdrant_client.http import models

from helpers.loopback import LoopbackServer, QuietHandler, served


class Handler(QuietHandler):
    """Answers reads from `server.double`; `server.asked` holds the method and the path of each request."""

    def do_GET(self):
        _, _, *name = self.path.strip("/").partition("/")
        self.give(self.server.double.get_collection(name[0]) if name[0] else self.server.double.get_collections())

    def do_POST(self):
        _, name, _, verb = self.path.split("?")[0].strip("/").split("/")
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if verb == "query":
            asked = models.QueryRequest(**body)
            options = {"using": asked.using, "limit": asked.limit, "with_payload": asked.with_payload}
            self.give(self.server.double.query_points(name, asked.query, **options))
        else:
            asked = models.ScrollRequest(**body)
            points, after = self.server.double.scroll(
                name, limit=asked.limit, with_payload=asked.with_payload, with_vectors=asked.with_vector
            )
            self.give(models.ScrollResult(points=points, next_page_offset=after))

    def give(self, result):
        self.server.asked.append((self.command, self.path))
        body = json.dumps({"result": result.model_dump(mode="json"), "status": "ok", "time": 0.0}).encode()
        self.answer(200, body, content_type="application/json")


@contextlib.contextmanager
def qdrant_server():
    """Yield the server, whose `double` takes collections and whose `url` answers."""
    with served(LoopbackServer(Handler)) as server:
        server.double, server.asked = QdrantClient(":memory:"), []
        yield server
