"""Results of a search as one HTML file with embedded images: it needs no network and no other file."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from pecl.apps.search.index import Hit, ImageIndex
from pecl.apps.search.thumbnails import THUMBNAIL, read_thumbnail
from pecl.errors import DataError
from pecl.files import write_bytes
from pecl.files.images import jpeg_uri, small_jpeg

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{{ query }}</title>
<style>
body { font: 1rem/1.4 system-ui, sans-serif; margin: 1rem auto; max-width: 75rem; padding: 0 1rem; }
ol { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); list-style: none; }
ol { padding: 0; }
img, p.none { aspect-ratio: 1; background: #eee; object-fit: contain; width: 100%; }
figure { margin: 0; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #eee; } img, p.none { background: #333; } }
</style>
<h1>{{ query }}</h1>
<p>{{ note }}</p>
<ol>
{% for hit in hits %}
<li><figure>
{% if hit.uri %}<img src="{{ hit.uri }}" alt="{{ hit.name }}">{% else %}<p class="none">{{ hit.reason }}</p>{% endif %}

<figcaption>{{ loop.index }}. {{ "%.3f"|format(hit.score) }} {{ hit.name }}</figcaption>
</figure></li>
{% endfor %}
</ol>
"""


def write_search_page(
    path: str | Path,
    query: str,
    note: str,
    hits: Sequence[Hit],
    index: ImageIndex,
) -> Path:
    """Write the hits of a search to the HTML file `path`, atomically, and return the path.

    The query is the heading, the note a line below it. A file that can no longer be read is listed
    without its image.
    """
    # Autoescape: queries and names of files are text, whatever is in them.
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(_PAGE)
    hit_documents = []
    for hit in hits:
        try:
            small = read_thumbnail(index.folder, hit.fingerprint) or small_jpeg(index.open_image(hit), THUMBNAIL)
            picture = {"uri": jpeg_uri(small)}
        except (DataError, OSError) as error:
            picture = {"uri": "", "reason": str(error)}
        hit_documents.append({"name": str(hit.path.relative_to(index.root)), "score": hit.score, **picture})

    text = template.render(query=query, note=note, hits=hit_documents)
    return write_bytes(path, text.encode("utf-8", "backslashreplace"))  # names of files may be no UTF-8
