"""/openapi.json describes the server as it is: its routes, and what it answers."""

import re

import jsonschema
import pytest
from helpers.serving import client_of, data_uri, make_service, picture, write_adapters
from openapi_spec_validator import validate

from pecl.search.build import build_index


@pytest.fixture
def client(photographs, tmp_path):
    build_index(photographs)
    (tmp_path / "adapters").mkdir()
    write_adapters(tmp_path / "adapters", ("x1",), "bottleneck")
    with client_of(make_service(index=photographs, adapters_dir=tmp_path / "adapters")) as client:
        yield client


def check(document, method, route, answer):
    """The answer is one that the description has."""
    responses = document["paths"][route][method.lower()]["responses"]
    kind = answer.headers["content-type"].partition(";")[0]
    content = responses["200" if answer.status_code == 200 else "4XX"]["content"]
    if kind == "application/json":
        schema = {**content[kind]["schema"], "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer.json())
    assert kind in content


def test_every_answer_and_every_refusal_is_as_described(client):
    document = client.get("/openapi.json").json()
    validate(document)
    image = data_uri(picture())
    hit = client.get("/search?query=a&language=cs").json()["photographs"][0]["id"]
    asked = [
        (
            "POST",
            "/v1/embeddings",
            "",
            {"model": "tiny", "input": [{"text": "a", "language": "cs"}, image]},
        ),
        ("POST", "/v1/embeddings", "", {"model": "tiny", "input": "a", "encoding_format": "base64"}),
        ("POST", "/v1/embeddings", "", {"model": "tiny"}),
        ("GET", "/v1/models", "", None),
        ("GET", "/v1/models/{model}", "/v1/models/tiny:cs", None),
        ("GET", "/v1/models/{model}", "/v1/models/tiny:xx", None),
        ("POST", "/v1/load_adapter", "", {"file": "x1.safetensors"}),
        ("POST", "/v1/unload_adapter", "", {"model": "tiny:x1"}),
        ("GET", "/search", "", None),
        ("GET", "/search", "/search?query=pes&language=cs&top=3&adapter=false&minus=a", None),
        ("POST", "/search", "", {"image": image, "minus": "pes", "language": "cs", "top": 2}),
        ("GET", "/thumbnails/{id}", f"/thumbnails/{hit}", None),
        ("GET", "/photographs/{id}", f"/photographs/{hit}", None),
        ("GET", "/health", "", None),
        ("GET", "/metrics", "", None),
    ]
    for method, route, address, body in asked:
        check(document, method, route, client.request(method, address or route, json=body))
    described = {(method.upper(), path) for path, about in document["paths"].items() for method in about}
    assert described == {(method, route) for method, route, *_ in asked}
    page = client.get("/").text + client.get("/static/page.js").text
    assert all(path in {path for _, path in described} for path in re.findall(r'fetch\("(/[a-z0-9/]+)"', page))
