"""`Models`: the plain text tower of a server and the adapters of many languages, and the texts that they embed.

Texts of all requests that wait are embedded together by one `AdapterBank`, in one pass per spec of adapters.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from pecl.adapters.bank import AdapterBank, name_of
from pecl.adapters.formats.files import AdapterFile
from pecl.encoders.batches import TokenIds
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, NotFiniteError, PeclError, suggest
from pecl.languages import ENGLISH, LANGUAGES
from pecl.options import quoted
from pecl.serving.refusals import Refusal, bad

_BATCH = 64  # texts that the tower takes at a time


@dataclass(frozen=True)
class TextJob:
    """Texts of one request."""

    texts: list[str]
    adapters: list[str | None]  # for each text its name, None for the plain tower
    param: str = "input"  # name of the texts in the request
    truncate: bool = False  # whether a text that is too long for the tower is cut; it is refused otherwise
    first: int = 0  # number of the first text within the request
    language: str | None = None  # for towers whose texts name it; by default each adapter's, or English

    def __len__(self) -> int:
        return len(self.texts)

    def parts(self, size: int) -> "list[TextJob]":
        """Split the job into jobs of at most `size` texts."""
        return [
            replace(self, texts=self.texts[i : i + size], adapters=self.adapters[i : i + size], first=self.first + i)
            for i in range(0, len(self), size)
        ]


@dataclass(frozen=True)
class Embedded:
    """The answer to a job."""

    embeddings: torch.Tensor  # (N, D) float32 on the CPU, each of length 1
    tokens: int = 0  # number of tokens that the tower read


class Models:
    """The plain text tower and adapters by name.

    Not safe for several threads: methods that change or compute must be called from one.

    Args:
        name: name of the plain tower in requests; an adapter is `<name>:<adapter>`.
        tower: text tower without an adapter, which stays so.
    """

    def __init__(self, name: str, tower: MultilingualTextEncoder) -> None:
        self.name = name
        self.tower = tower
        self.dim = tower.embedding_dim  # D
        self.bank = AdapterBank(tower, plain=None)
        self._since: dict[str | None, int] = {None: int(time.time())}  # by adapter, None for the plain tower

    @property
    def adapters(self) -> list[str]:
        """Names of the adapters, in the order in which they were added."""
        return self.bank.adapters

    @property
    def names(self) -> list[str]:
        """Name of each model in requests: the plain tower first."""
        return [self.model_of(name) for name in (None, *self.adapters)]

    def add(self, file: AdapterFile, name: str | None = None) -> str:
        """Add an adapter and return its name, by default the file's language; see `AdapterBank.add`."""
        name = name_of(file, name)
        self.bank.add(name, file)
        self._since[name] = int(time.time())
        return name

    def remove(self, name: str) -> None:
        """Remove an adapter; see `AdapterBank.remove`."""
        self.bank.remove(name)
        del self._since[name]

    def describe(self) -> list[dict[str, str | int | None]]:
        """Return the models in OpenAI's form; `adapter` is the spec, None of the plain tower."""
        specs = {None: None} | self.bank.spec_names()
        return [
            {
                "id": self.model_of(name),
                "object": "model",
                "created": self._since.get(name, 0),
                "owned_by": "pecl",
                "tower": self.tower.name,
                "language": name,
                "adapter": spec,
            }
            for name, spec in specs.items()
        ]

    def model_of(self, adapter: str | None) -> str:
        """Return the name of an adapter in requests, or with None that of the plain tower."""
        return self.name if adapter is None else f"{self.name}:{adapter}"

    def adapter_of(self, model: str) -> str | None:
        """Return the adapter that the name of a model says; None for the plain tower.

        Raises:
            Refusal: 404, there is none of this name.
        """
        base, colon, adapter = model.partition(":")
        found = self.bank.find(adapter)
        if base == self.name and (found or not colon):
            return found
        known = f"one of the {len(self.names)} models that GET /v1/models lists"
        hint = suggest(model[:200], self.names)
        raise Refusal(404, f"model: expected {known}, got {quoted(model)}{hint}", "model", "model_not_found")

    def adapter_for(self, language: str) -> str | None:
        """Return the adapter for a language by any of its names; None for English without an adapter of its own."""
        found = self.bank.find(language)
        if found is None and language.strip().lower() not in LANGUAGES[ENGLISH].names():
            raise bad(self.bank.missing(language[:100]), "language")
        return found

    def embed(self, jobs: Sequence[TextJob]) -> list[Embedded | Exception]:
        """Return the embeddings of each job, or the error that it ended in, which does not affect other jobs."""
        token_ids = [self._tokenize(job) for job in jobs]
        sound = [(job, own) for job, own in zip(jobs, token_ids, strict=True) if not isinstance(own, Exception)]
        rows = [ids for _, own in sound for ids in own]
        adapters = [name for job, _ in sound for name in job.adapters]
        embeddings = iter(F.normalize(self.bank.encode_token_ids(rows, adapters, _BATCH), dim=1))  # R of (D,)
        return [
            own if isinstance(own, Exception) else _checked(torch.stack([next(embeddings) for _ in own]), own, job)
            for job, own in zip(jobs, token_ids, strict=True)
        ]

    def _tokenize(self, job: TextJob) -> TokenIds | Exception:
        """Return the token ids of a job's texts, or the error that it ends in."""
        try:
            languages = None if job.language is None else [job.language] * len(job)
            token_ids = self.bank.tokenize(job.texts, job.adapters, languages)
        except ConfigError as error:
            if all(name is None or name in self.adapters for name in job.adapters):
                return error
            return Refusal(404, str(error), "model", "model_not_found")  # it was unloaded since the request was read
        except PeclError as error:
            return error
        whole = {} if job.truncate else self.bank.whole_lengths(job.texts, token_ids, job.adapters)
        for place, (length, most) in whole.items():
            got = f"text {job.first + place} has {length} tokens, the tower reads {most}"
            return bad(f"{job.param}: {got}: shorten it, or send truncate: true", job.param)
        return token_ids


def _checked(embeddings: torch.Tensor, token_ids: TokenIds, job: TextJob) -> Embedded | Exception:
    if not torch.isfinite(embeddings).all():
        used = ", ".join(sorted({name or "none" for name in job.adapters}))
        return NotFiniteError(f"embeddings are not finite numbers: an adapter is damaged (adapters used: {used})")
    return Embedded(embeddings, sum(map(len, token_ids)))
