"""The key of a server: `read_key` reads it from a file, and `check_key` asks for it in each request.

Programs send it as `Authorization: Bearer KEY`, as clients of OpenAI's API do. A browser asks its user for a name and a
password, and sends the key as the password (`Basic`), also with the addresses of images.
"""

import base64
import binascii
import contextlib
import hmac
import re
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import Scope

from pecl.errors import ConfigError
from pecl.files import read_regular
from pecl.serving.refusals import Refusal

CHALLENGES = ('Bearer realm="pecl"', 'Basic realm="pecl", charset="UTF-8"')
_KEY = re.compile(rb"[!-~]{16,512}")


def read_key(path: str | Path) -> bytes:
    """Return the key in the only line of a file.

    Raises:
        ConfigError: the file cannot be read, or holds something else. The sentence does not repeat it.
    """
    try:
        content = read_regular(path)
    except OSError as error:
        raise ConfigError(f"api_key_file: cannot read {path}: {error.strerror or error}") from error
    key = content.strip()
    if not _KEY.fullmatch(key):
        wanted = "one line of 16 to 512 letters, digits and signs of ASCII, without spaces"
        raise ConfigError(f"api_key_file: expected {wanted}, got something else in {path}")
    return key


def check_key(scope: Scope, key: bytes) -> None:
    """Raise Refusal with status 401 unless a request brings the key; the time tells nothing about it."""
    given = Headers(scope=scope).get("authorization", "")
    # `/health` needs no key: those who watch over a server only learn that it runs.
    if scope["path"] == "/health" or hmac.compare_digest(_presented(given), key):
        return
    got = "another one" if given else "none"
    raise Refusal(
        401, f"authorization: expected the key of this server as Bearer KEY, got {got}", code="invalid_api_key"
    )


def _presented(value: str) -> bytes:
    """Return the key that the header `Authorization` brings; b"" where it brings none."""
    scheme, _, rest = value.strip().partition(" ")
    content = rest.strip().encode("latin-1")
    if scheme.lower() == "bearer":
        return content
    if scheme.lower() == "basic":
        with contextlib.suppress(binascii.Error):
            return base64.b64decode(content, validate=True).partition(b":")[2]
    return b""
