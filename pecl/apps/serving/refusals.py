"""The answer to a request that cannot be carried out: a status and one sentence, in OpenAI's form of an error."""

import logging
import re
from collections.abc import Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from pecl.errors import PeclError, RunError, one_line
from pecl.files.failures import log_traceback
from pecl.options import quoted

logger = logging.getLogger(__name__)

_SENTENCES = {
    404: "there is no such page: see /v1/models, /v1/embeddings, /search, /health and /metrics",
    405: "this address does not take such a request: see its documentation for GET or POST",
}
LEFT = 499  # nginx's status for a client that closed the connection
_WORDS = {  # pydantic's words, and ours
    "expected a valid string": "expected text",
    "expected a valid boolean": "expected true or false",
    "expected a valid integer": "expected a whole number",
    "expected a valid dictionary or object to extract fields from": "expected a JSON object",
}
_TYPES = {404: "not_found_error", 429: "rate_limit_error"}


class Refusal(HTTPException):
    """A refused request: an HTTP status, and a sentence with the problem and the expected value.

    `param` is the invalid field of the request, `code` a word for programs, such as
    "model_not_found"; `headers` are added to the answer.
    """

    def __init__(
        self,
        status: int,
        sentence: str,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, sentence, headers)
        self.param = param
        self.code = code

    def __str__(self) -> str:
        return self.detail


def bad(sentence: str, param: str | None = None) -> Refusal:
    """Return the refusal of a request that is wrong: status 400."""
    return Refusal(400, sentence, param)


def at_most(limit: int, count: int, noun: str, name: str) -> None:
    """Raise Refusal if the field `name` has a `count` above `limit`; `noun` names what is counted."""
    if count > limit:
        raise bad(f"{name}: expected at most {limit:,} {noun}, got {count:,}", name)


async def answer_error(request: Request, error: Exception) -> JSONResponse:
    """Return the answer for the error of a request; write the traceback of an unexpected one to a file.

    It has OpenAI's form: `{"error": {"message", "type", "param", "code"}}`.
    """
    if isinstance(error, Refusal):
        refusal = error
    elif isinstance(error, RequestValidationError):
        refusal = _of_validation(error.errors())
    elif isinstance(error, HTTPException):
        sentence = _SENTENCES.get(error.status_code, error.detail)
        # 405 names the methods
        refusal = Refusal(error.status_code, sentence, headers=dict(error.headers or {}))
    elif isinstance(error, ClientDisconnect):
        refusal = Refusal(LEFT, "the client left")
    elif isinstance(error, PeclError):
        refusal = bad(str(error), error.field)
    elif isinstance(error, RunError):
        refusal = Refusal(500, str(error))
    else:
        path = log_traceback(error)
        logger.error("%s %s: unexpected %r; the traceback is in %s", request.method, request.url.path, error, path)
        refusal = Refusal(500, "the request failed; see the server's log")

    status = refusal.status_code
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    sentence = one_line(refusal.detail)
    if len(sentence) > 500:  # characters: it may repeat the content of a request
        sentence = f"{sentence[:500]}..."

    document = {"message": sentence, "type": kind, "param": refusal.param, "code": refusal.code}
    return JSONResponse({"error": document}, status, refusal.headers)


def _of_validation(errors: Sequence[dict[str, Any]]) -> Refusal:
    """Return the refusal of a request that pydantic refused: its most precise error as a sentence."""
    error = max(errors, key=lambda part: len(part["loc"]))  # of a value that may have several forms
    field, *rest = error["loc"][1:] or ("body",)
    name = str(field) + "".join(
        f"[{part}]" if isinstance(part, int) else ".language" * (part == "language") for part in rest
    )
    sentence = error["msg"].removeprefix("Value error, ")

    if error["type"] == "missing":
        sentence = "expected a value, got none"
    elif error["type"] != "value_error":
        sentence = re.sub("^(Input should be|(String|List|Value) should have)", "expected", sentence)
        sentence = re.split(" after validation|, unable to", sentence)[0]
        sentence = f"{_WORDS.get(sentence, sentence)}, got {_shown(error['input'])}"

    if field == "body":
        return bad(sentence if sentence.startswith("unknown field") else f"body: {sentence}")
    return bad(f"{name}: {sentence}", str(field))


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value) if len(value) <= 40 else f"{len(value):,} characters"
    return {dict: "an object", list: "a list"}.get(type(value)) or quoted(value)
