"""/openapi.json describes the server as it is: its routes, the requests that it takes, and its errors."""

import jsonschema
from helpers.serving import client_of, data_uri, make_service, picture
from openapi_spec_validator import validate

ROUTES = {
    *(("post", f"/v1/{one}") for one in ("embeddings", "load_adapter", "unload_adapter")),
    *(("get", one) for one in ("/v1/models", "/v1/models/{model}", "/thumbnails/{id}", "/photographs/{id}")),
    *(("get", "/search"), ("post", "/search"), ("put", "/languages"), ("get", "/health"), ("get", "/metrics")),
}
ITEM = {"text": "a", "language": "cs"}


def test_the_description_takes_what_the_server_takes():
    with client_of(make_service()) as client:
        document = client.get("/openapi.json").json()
        validate(document)
        assert {(method, path) for path, about in document["paths"].items() for method in about} == ROUTES
        operation = document["paths"]["/v1/embeddings"]["post"]

        def check(schema, value):
            jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(value)

        for given in ("a", ITEM, ["a", ITEM, {"image": data_uri(picture())}]):
            body = {"model": "tiny", "input": given}
            assert client.post("/v1/embeddings", json=body).status_code == 200
            check(operation["requestBody"]["content"]["application/json"]["schema"], body)
        error = client.post("/v1/embeddings", json={"model": "tiny"}).json()
        check(operation["responses"]["4XX"]["content"]["application/json"]["schema"], error)
