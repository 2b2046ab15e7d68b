"""/openapi.json describes the server as it is: its routes, its fields, its limits and what it answers."""

import re

import jsonschema
import pytest
from helpers.serving import client_of, data_uri, make_service, picture, write_adapters
from openapi_spec_validator import validate

from pecl.search.build import build_index
from pecl.serving import embeddings, search
from pecl.serving.limits import Limits

TEXT = {"text": "pes", "language": "cs"}


@pytest.fixture
def client(photographs, tmp_path):
    build_index(photographs)
    folder = tmp_path / "adapters"
    folder.mkdir()
    write_adapters(folder, ("x1",), "bottleneck")
    with client_of(make_service(index=photographs, adapters_dir=folder)) as client:
        yield client


@pytest.fixture
def document(client):
    return client.get("/openapi.json").json()


def schema_of(document, schema):
    return jsonschema.Draft202012Validator({**schema, "components": document["components"]})


def check(document, method, route, answer):
    """The answer is one that the description has, in its type and form."""
    responses = document["paths"][route][method.lower()]["responses"]
    found = responses[str(answer.status_code)]
    if "$ref" in found:
        found = document["components"]["responses"][found["$ref"].rpartition("/")[2]]
    kind = answer.headers["content-type"].partition(";")[0]
    (known,) = found["content"]
    assert kind == known
    if kind == "application/json":
        schema_of(document, found["content"][kind]["schema"]).validate(answer.json())
    for name in found.get("headers", {}):
        assert name in answer.headers


def test_it_is_openapi(document):
    validate(document)


def test_it_has_every_route_and_no_other(client, document):
    routes = {
        (method, re.sub(r":\w+}", "}", route.path))
        for route in client.app.routes
        for method in route.methods - {"HEAD"}
    }
    described = {(method.upper(), path) for path, about in document["paths"].items() for method in about}
    assert described == routes


def requests(identity):
    """Requests that are answered: method, route, address, document."""
    image = data_uri(picture())
    return [
        ("POST", "/v1/embeddings", "", {"model": "tiny:cs", "input": "pes"}),
        ("POST", "/v1/embeddings", "", {"model": "tiny", "input": [TEXT, image, {"image": image}, "a"], "user": "me"}),
        ("POST", "/v1/embeddings", "", {"model": "tiny", "input": ["a"], "language": ["de"], "dimensions": 8}),
        ("POST", "/v1/embeddings", "", {"model": "tiny", "input": "a", "encoding_format": "base64", "truncate": True}),
        ("GET", "/v1/models", "", None),
        ("GET", "/v1/models/{model}", "/v1/models/tiny:cs", None),
        ("POST", "/v1/load_adapter", "", {"file": "x1.safetensors", "name": "x1"}),
        ("POST", "/v1/unload_adapter", "", {"model": "tiny:x1"}),
        ("GET", "/search", "", None),
        ("GET", "/search", "/search?query=pes&language=cs&top=3&adapter=false&minus=a", None),
        ("POST", "/search", "", {"query": "ein Hund auf der Wiese"}),
        ("POST", "/search", "", {"image": image, "minus": "pes", "language": "cs", "top": 2, "adapter": False}),
        ("GET", "/thumbnails/{id}", f"/thumbnails/{identity}", None),
        ("GET", "/photographs/{id}", f"/photographs/{identity}", None),
        *(
            ("GET", path, "", None)
            for path in ("/", "/static/page.css", "/static/page.js", "/static/results.js", "/openapi.json")
        ),
        ("GET", "/health", "", None),
        ("GET", "/metrics", "", None),
    ]


def test_answers_are_as_described(client, document):
    identity = client.get("/search?query=a&language=cs").json()["photographs"][0]["id"]
    asked = requests(identity)
    for method, route, address, body in asked:
        if body is not None:
            content = document["paths"][route]["post"]["requestBody"]["content"]
            schema_of(document, content["application/json"]["schema"]).validate(body)
        answer = client.request(method, address or route, json=body)
        assert answer.status_code == 200, answer.text
        check(document, method, route, answer)
    assert {(method, route) for method, route, *_ in asked} == {
        (method.upper(), path) for path, about in document["paths"].items() for method in about
    }


REFUSED = [
    ("POST", "/v1/embeddings", {}),
    ("POST", "/v1/embeddings", {"model": "tiny"}),
    ("POST", "/v1/embeddings", {"model": "tiny", "input": []}),
    ("POST", "/v1/embeddings", {"model": "tiny", "input": ""}),
    ("POST", "/v1/embeddings", {"model": "tiny", "input": [1]}),
    ("POST", "/v1/embeddings", {"model": "tiny", "input": [{"text": "a", "image": data_uri(picture())}]}),
    ("POST", "/v1/embeddings", {"model": "tiny", "input": "a" * 8193}),
    ("POST", "/v1/embeddings", {"model": "tiny", "input": "a", "encoding_format": "int8"}),
    ("POST", "/v1/embeddings", {"model": "tiny", "input": "a", "other": 1}),
    ("POST", "/v1/load_adapter", {"file": "x1.safetensors", "name": "a/b"}),
    ("POST", "/v1/unload_adapter", {"model": ""}),
    ("POST", "/search", {}),
    ("POST", "/search", {"query": "a", "top": 1001}),
    ("POST", "/search", {"query": "a", "top": "1"}),
    ("POST", "/search", {"image": "/etc/passwd"}),
    ("POST", "/search", {"query": "a", "path": "b"}),
]


@pytest.mark.parametrize(("method", "route", "body"), REFUSED, ids=[f"{r} {str(b)[:40]}" for _, r, b in REFUSED])
def test_what_the_description_forbids_is_refused(client, document, method, route, body):
    content = document["paths"][route]["post"]["requestBody"]["content"]
    assert not schema_of(document, content["application/json"]["schema"]).is_valid(body)
    answer = client.request(method, route, json=body)
    assert answer.status_code == 400
    check(document, method, route, answer)


def test_other_refusals_are_as_described(client, document):
    check(document, "GET", "/v1/models/{model}", client.get("/v1/models/tiny:xx"))
    check(document, "GET", "/photographs/{id}", client.get(f"/photographs/{'0' * 32}"))
    check(document, "POST", "/search", client.post("/search", content=b"a"))
    check(document, "GET", "/search", client.get("/search?top=0&query=a"))
    check(document, "GET", "/", client.get("/", headers={"host": "evil.example"}))
    with client_of(make_service(), key=b"k" * 20) as locked:
        check(document, "GET", "/metrics", locked.get("/metrics"))
    with client_of(make_service(limits=Limits(open_requests=1))) as busy:
        object.__setattr__(busy.app.state.service.limits, "open_requests", 0)
        check(document, "GET", "/health", busy.get("/health"))


def test_limits_and_fields_are_those_of_the_server(document):
    schemas, limits = document["components"]["schemas"], Limits()
    request = schemas["EmbeddingsRequest"]["properties"]
    assert tuple(request) == embeddings.FIELDS
    assert request["input"]["anyOf"][1]["maxItems"] == limits.texts + limits.pictures
    assert f"{limits.texts:,} texts and {limits.pictures} pictures" in request["input"]["description"]
    assert schemas["Text"]["maxLength"] == limits.characters
    assert tuple(schemas["SearchRequest"]["properties"]) == search.FIELDS
    fields = {one["name"] for one in document["paths"]["/search"]["get"]["parameters"]}
    assert fields == set(search.ADDRESS_FIELDS)
