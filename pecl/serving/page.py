"""The page at `/` and the description of all addresses: files of the package, read once.

Nothing in a request leads to a file.
"""

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

# Scripts, styles and pictures come only from this server, and no other page may show this one within itself.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FILES = {
    "/": ("page.html", "text/html"),
    "/static/page.css": ("page.css", "text/css"),
    "/static/page.js": ("page.js", "text/javascript"),
    "/static/results.js": ("results.js", "text/javascript"),
    "/openapi.json": ("openapi.json", "application/json"),
}


def page_routes() -> list[Route]:
    """Return the routes of the page and of the files that it needs."""
    return [_route(address, *about) for address, about in _FILES.items()]


def _route(address: str, name: str, kind: str) -> Route:
    content = (files("pecl.serving") / "static" / name).read_bytes()
    headers = {"content-security-policy": POLICY, "cache-control": "no-cache"}

    async def page(request: Request) -> Response:
        return Response(content, media_type=kind, headers=headers)

    return Route(address, page)
