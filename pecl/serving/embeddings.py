"""`POST /v1/embeddings` in OpenAI's form, with a language for each input and with pictures.

    {"model": "mini", "input": ["pes na pláži", "ein Hund"], "language": ["cs", "de"]}

An input is a text, a picture as a data URI, or an object: `{"text": ..., "language": ...}` or `{"image": ...}`.
"""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import torch
from starlette.requests import Request
from starlette.responses import Response

from pecl.serving.limits import Limits
from pecl.serving.models import Models, TextJob
from pecl.serving.pictures import is_data_uri, read_data_uri
from pecl.serving.refusals import bad
from pecl.serving.requests import as_text, choice_field, flag_field, number_field, read_object, text_field
from pecl.serving.service import Service

FIELDS = ("model", "input", "language", "encoding_format", "dimensions", "truncate", "user")
_ITEM = ("text", "image", "language")


@dataclass
class Inputs:
    """The inputs of a request, texts and pictures apart, each with its place.

    Attributes:
        texts: texts.
        adapters: the adapter of each text, None for the plain tower.
        text_places: number of the input that each text is.
        pictures: pictures as files.
        picture_places: number of the input that each picture is.
        picture_names: name of each picture in the request.
    """

    texts: list[str] = field(default_factory=list)
    adapters: list[str | None] = field(default_factory=list)
    text_places: list[int] = field(default_factory=list)
    pictures: list[bytes] = field(default_factory=list)
    picture_places: list[int] = field(default_factory=list)
    picture_names: list[str] = field(default_factory=list)


async def embeddings(request: Request) -> Response:
    """Answer `POST /v1/embeddings`; embeddings have length 1."""
    service: Service = request.app.state.service
    document = await read_object(request, service, FIELDS)
    model = text_field(document, "model", 200)
    inputs = read_inputs(document, service.models.adapter_of(model), service.models, service.limits)
    encoding = choice_field(document, "encoding_format", ("float", "base64"), "float")
    dim = service.models.dim
    if document.get("dimensions") is not None and number_field(document, "dimensions", 1, 1 << 20, dim) != dim:
        raise bad(f"dimensions: expected {dim}, the width of this model, got {document['dimensions']}", "dimensions")
    truncate = flag_field(document, "truncate", False)
    rows = torch.empty(len(inputs.texts) + len(inputs.pictures), dim)  # (N, D)
    tokens = 0
    if inputs.pictures:
        rows[inputs.picture_places] = (await service.embed_pictures(inputs.pictures, inputs.picture_names)).embeddings
    if inputs.texts:
        embedded = await service.embed_texts(TextJob(inputs.texts, inputs.adapters, truncate=truncate))
        rows[inputs.text_places] = embedded.embeddings
        tokens = embedded.tokens
    content = await service.with_json(lambda: write_answer(rows, encoding == "base64", model, tokens))
    return Response(content, media_type="application/json")


def write_answer(rows: torch.Tensor, coded: bool, model: str, tokens: int) -> bytes:
    """Return the answer as JSON, written row by row: Python's encoder holds up all threads until its call ends.

    Args:
        rows: the embeddings (N, D), float32.
        coded: write them in base64.
        model: the model of the request.
        tokens: number of tokens that the tower read.
    """
    data = []
    for i, row in enumerate(rows):
        embedding = _base64(row) if coded else row.tolist()
        data.append(json.dumps({"object": "embedding", "index": i, "embedding": embedding}, separators=(",", ":")))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    rest = json.dumps({"model": model, "usage": usage}, separators=(",", ":"))
    return f'{{"object":"list","data":[{",".join(data)}],{rest[1:]}'.encode()


def read_inputs(document: dict[str, Any], adapter: str | None, models: Models, limits: Limits) -> Inputs:
    """Return the inputs of a request's document.

    Args:
        document: the request.
        adapter: the adapter that its model names, None for the plain tower.
        models: the available adapters.
        limits: number and size of inputs.

    Raises:
        Refusal: an input is neither a text nor a picture, there are too many, or a language has no adapter.
    """
    given = document.get("input")
    items = given if isinstance(given, list) else [given]
    if given is None or not items:
        raise bad("input: expected a text, or a list of texts or pictures, got none", "input")
    most = limits.texts + limits.pictures
    if len(items) > most:
        raise bad(f"input: expected at most {limits.texts} texts, got {len(items)}", "input")
    languages = _languages(document.get("language"), len(items), isinstance(given, list))
    inputs = Inputs()
    for place, (item, language) in enumerate(zip(items, languages, strict=True)):
        name = f"input[{place}]" if isinstance(given, list) else "input"
        _add_item(inputs, place, name, item, language, adapter, models, limits)
    for what, found, allowed in (
        ("texts", len(inputs.texts), limits.texts),
        ("pictures", len(inputs.pictures), limits.pictures),
    ):
        if found > allowed:
            raise bad(f"input: expected at most {allowed} {what}, got {found}", "input")
    return inputs


def _add_item(
    inputs: Inputs,
    place: int,
    name: str,
    item: Any,
    language: Any,
    adapter: str | None,
    models: Models,
    limits: Limits,
) -> None:
    """Put one input where it belongs."""
    if isinstance(item, dict):
        if set(item) - set(_ITEM) or ("text" in item) == ("image" in item):
            raise bad(f'{name}: expected {{"text": ..., "language": ...}} or {{"image": ...}}', "input")
        language = item.get("language", language)
        is_picture, content = "image" in item, item.get("image", item.get("text"))
    else:
        is_picture, content = isinstance(item, str) and is_data_uri(item), item
    if is_picture:
        inputs.pictures.append(read_data_uri(content, name, limits))
        inputs.picture_places.append(place)
        inputs.picture_names.append(name)
        return
    if isinstance(content, int) or (isinstance(content, list) and all(isinstance(one, int) for one in content)):
        raise bad(f"{name}: expected text, got token ids: every tower has its own, so send the text itself", "input")
    inputs.texts.append(as_text(content, name, limits.characters))
    inputs.adapters.append(_adapter(language, adapter, models))
    inputs.text_places.append(place)


def _languages(value: Any, number: int, is_list: bool) -> list[Any]:
    """Return the language of each input, as it was written; None if none was."""
    if isinstance(value, list):
        if not is_list or len(value) != number:
            raise bad(f"language: expected one, or one for each of the {number} inputs, got {len(value)}", "language")
        return value
    return [value] * number


def _adapter(language: Any, adapter: str | None, models: Models) -> str | None:
    """Return the adapter of a text whose language is named, and whose request names `adapter` as its model."""
    if language is None:
        return adapter
    found = models.adapter_for(as_text(language, "language", 100))
    if adapter is not None and found != adapter:
        model = models.model_of(adapter)
        raise bad(f"language: expected none or {adapter}, which model {model} is for, got {language!r}", "language")
    return found


def _base64(row: torch.Tensor) -> str:
    """Return an embedding (D,) as OpenAI writes it: float32, the lowest byte first."""
    return base64.b64encode(row.numpy().astype("<f4").tobytes()).decode("ascii")
