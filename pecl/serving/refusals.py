"""The answer to a request that cannot be carried out: a status and one sentence, in OpenAI's form of an error."""

import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from pecl.errors import PeclError, RunError, one_line
from pecl.files.failures import log_traceback

logger = logging.getLogger(__name__)

_SENTENCES = {
    404: "there is no such page: see /v1/models, /v1/embeddings, /search, /health and /metrics",
    405: "this address does not take such a request: see its documentation for GET or POST",
}


class Refusal(Exception):
    """A request that is not carried out: status of HTTP, and a sentence with the problem and the expected value.

    `param` is the field of the request that was wrong; `code` a word for programs, such as "model_not_found"; `headers`
    are added to the answer.
    """

    def __init__(
        self,
        status: int,
        sentence: str,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.param = param
        self.code = code
        self.headers = headers


def bad(sentence: str, param: str | None = None) -> Refusal:
    """Return the refusal of a request that is wrong: status 400."""
    return Refusal(400, sentence, param)


async def answer_error(request: Request, error: Exception) -> JSONResponse:
    """Return the answer for the error of a request; write the traceback of an unexpected one to a file.

    It has OpenAI's form: `{"error": {"message", "type", "param", "code"}}`.
    """
    if isinstance(error, Refusal):
        refusal = error
    elif isinstance(error, HTTPException):
        refusal = Refusal(error.status_code, _SENTENCES.get(error.status_code, error.detail))
    elif isinstance(error, PeclError):
        refusal = bad(str(error))
    elif isinstance(error, RunError):
        refusal = Refusal(500, str(error))
    else:
        path = log_traceback(error)
        logger.error("%s %s: unexpected %r; the traceback is in %s", request.method, request.url.path, error, path)
        refusal = Refusal(500, "the server failed at this request; its log says more")
    kinds = {404: "not_found_error", 429: "rate_limit_error"}
    kind = kinds.get(refusal.status, "invalid_request_error" if refusal.status < 500 else "server_error")
    sentence = one_line(refusal.sentence)
    if len(sentence) > 500:  # characters: it may repeat the content of a request
        sentence = f"{sentence[:500]}..."
    document = {"message": sentence, "type": kind, "param": refusal.param, "code": refusal.code}
    return JSONResponse({"error": document}, refusal.status, refusal.headers)
