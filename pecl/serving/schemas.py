"""Requests as pydantic models: FastAPI checks by them, and writes `/openapi.json` from them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pecl.errors import suggest
from pecl.options import quoted


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("expected text, got none")
    return text


_MOST = 1 << 16  # items of a list, whatever the limits of the server allow
Text = Annotated[str, AfterValidator(_not_blank)]
Name = Annotated[str, Field(max_length=255), AfterValidator(_not_blank)]
LanguageName = Annotated[
    str, Field(max_length=100, description="any name or code of a language"), AfterValidator(_not_blank)
]


class Request(BaseModel):
    """Fields of a request; null is as good as left out, and others are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        for name in given:
            if name not in cls.model_fields:
                known = ", ".join(cls.model_fields)
                raise ValueError(f"unknown field {quoted(name)}: expected {known}{suggest(name, cls.model_fields)}")
        return {name: value for name, value in given.items() if value is not None}


class Input(Request):
    """A text with its language, or an image."""

    text: Text | None = None
    language: LanguageName | None = None
    image: str | None = Field(None, description="data:image/jpeg;base64,... (JPEG, PNG, WebP or GIF)")


def _as_input(given: Any) -> Any:
    """Return the object that a text or a data URI stands for; raise ValueError for what is no input."""
    if isinstance(given, str):
        return {"image" if given[:11].lower() == "data:image/" else "text": given}
    if not isinstance(given, dict) or (given.get("text") is None) == (given.get("image") is None):
        raise ValueError(
            'expected a text, an image as a data URI, {"text": ..., "language": ...} or {"image": ...}; no token ids, '
            "since every tower has its own"
        )
    return given


class EmbeddingsRequest(Request):
    """Texts and images to embed."""

    model: Annotated[Name, Field(description="the plain tower (mini), or an adapter (mini:cs), see /v1/models")]
    input: Annotated[
        list[Annotated[Input, BeforeValidator(_as_input, json_schema_input_type=str | Input)]],
        Field(min_length=1, max_length=_MOST),
        BeforeValidator(
            lambda given: given if isinstance(given, list) else [given],
            json_schema_input_type=str | Input | list[str | Input],
        ),
    ]
    language: LanguageName | Annotated[list[LanguageName | None], Field(max_length=_MOST)] | None = Field(
        None, description="of all inputs, or of each: the plain tower's name chooses the adapters by it"
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, description="only the model's own width")
    truncate: bool = Field(False, description="cut texts that are too long for the tower, rather than refuse them")
    user: str | None = Field(None, description="ignored")


class LoadAdapter(Request):
    """A file of the folder of adapters."""

    file: Name
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] | None = None


class UnloadAdapter(Request):
    """A loaded adapter."""

    model: Name


class SearchAddress(Request):
    """A search by text."""

    model_config = ConfigDict(strict=False)

    query: Text | None = None
    minus: Text | None = Field(None, description="a negative query")
    language: LanguageName | None = Field(None, description="detected by default")
    top: int = Field(12, ge=1, le=1000)
    adapter: bool = Field(True, description="false: the plain tower, as before training")
    folder: str = Field("", max_length=4096, description="only photographs in it, at any depth")
    after: str | None = Field(None, max_length=32, description="taken on this day or later, such as 2019-07-14 or 2019")
    before: str | None = Field(None, max_length=32, description="taken before this day")
    words: bool = Field(True, description="photographs with names of the query come first")


class SearchRequest(SearchAddress):
    """A search by text, by an image, or by both, which weigh the same."""

    model_config = ConfigDict(strict=True)

    languages: list[LanguageName] = Field(
        [],
        max_length=16,
        description="the person's languages, which detection chooses from: by default those of the index, or of "
        "Accept-Language",
    )
    image: str | None = Field(None, description="data:image/jpeg;base64,... (JPEG, PNG, WebP or GIF)")


class PersonLanguages(Request):
    """The languages that a person speaks."""

    languages: Annotated[list[LanguageName], Field(min_length=1, max_length=16)]


class Problem(BaseModel):
    """What was wrong, in a sentence."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """The answer to a request that is not carried out, as OpenAI has it."""

    error: Problem
