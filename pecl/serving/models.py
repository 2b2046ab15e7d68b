"""`Models`: the plain text tower of a server and the adapters of many languages, and the texts that they embed.

Texts of all requests that wait are embedded together, in one pass per spec of adapters, see `pecl.adapters.banks`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from pecl.adapters.bank import AdapterBank
from pecl.adapters.banks import Banks
from pecl.adapters.formats.files import AdapterFile
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, NotFiniteError, PeclError, suggest
from pecl.languages import ENGLISH, LANGUAGES
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


Row = tuple[int, int, list[int], int]  # number of a text's job, its place there, its token ids, slot of its adapter


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
        self.banks = Banks(tower)
        self._since: dict[str | None, int] = {None: int(time.time())}  # by adapter, None for the plain tower

    @property
    def adapters(self) -> list[str]:
        """Names of the adapters, in the order in which they were added."""
        return self.banks.names

    @property
    def names(self) -> list[str]:
        """Name of each model in requests: the plain tower first."""
        return [self.model_of(name) for name in (None, *self.adapters)]

    def add(self, file: AdapterFile, name: str | None = None) -> str:
        """Add an adapter and return its name; see `Banks.add`."""
        name = self.banks.add(file, name)
        self._since[name] = int(time.time())
        return name

    def remove(self, name: str) -> None:
        """Remove an adapter; see `Banks.remove`."""
        self.banks.remove(name)
        del self._since[name]

    def describe(self) -> list[dict[str, str | int | None]]:
        """Return the models in OpenAI's form; `adapter` is the spec, None of the plain tower."""
        specs = {None: None} | self.banks.specs()
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
        found = self.banks.find(adapter)
        if base == self.name and (found or not colon):
            return found
        sentence = f"model: expected one of {', '.join(self.names)}, got {model[:200]!r}"
        raise Refusal(404, f"{sentence}{suggest(model[:200], self.names)}", "model", "model_not_found")

    def adapter_for(self, language: str) -> str | None:
        """Return the adapter for a language by any of its names; None for English without an adapter of its own."""
        found = self.banks.find(language)
        if found is None and language.strip().lower() not in LANGUAGES[ENGLISH].names():
            raise bad(f"language: {self.banks.missing(language[:100])}", "language")
        return found

    def embed(self, jobs: Sequence[TextJob]) -> list[Embedded | Exception]:
        """Return the embeddings of each job, or the error that it ended in, which does not affect other jobs."""
        answers: list[Embedded | Exception] = []
        rows_of: dict[AdapterBank | None, list[Row]] = {}
        for number, job in enumerate(jobs):
            try:
                answers.append(self._prepare(number, job, rows_of))
            except (Refusal, PeclError) as error:
                answers.append(error)
        for bank, rows in rows_of.items():
            for (number, place, *_), embedding in zip(rows, self._pass(bank, rows), strict=True):
                answer = answers[number]
                if isinstance(answer, Embedded):
                    answer.embeddings[place] = embedding
        return [_checked(answer, jobs[number]) for number, answer in enumerate(answers)]

    def _prepare(self, number: int, job: TextJob, rows_of: dict[AdapterBank | None, list[Row]]) -> Embedded:
        """Put a job's texts among the rows of their banks; return the answer, whose embeddings are still to come."""
        try:
            banks = [None if name is None else self.banks.bank_of(name) for name in job.adapters]
        except ConfigError as error:  # it was unloaded since the request was read
            raise Refusal(404, str(error), "model", "model_not_found") from error
        token_ids = self.tower.tokenize(job.texts, [job.language or name or ENGLISH for name in job.adapters])
        whole = {} if job.truncate else self.tower.whole_lengths(job.texts, token_ids)
        for place, length in whole.items():
            got = f"text {job.first + place} has {length} tokens, the tower reads {self.tower.max_length}"
            raise bad(f"{job.param}: {got}: shorten it, or send truncate: true", job.param)
        for place, (bank, ids, name) in enumerate(zip(banks, token_ids, job.adapters, strict=True)):
            slot = 0 if bank is None or name is None else bank.slot(name)
            rows_of.setdefault(bank, []).append((number, place, ids, slot))
        return Embedded(torch.empty(len(job), self.dim), sum(map(len, token_ids)))

    def _pass(self, bank: AdapterBank | None, rows: list[Row]) -> torch.Tensor:
        """Return the embeddings (R, D), of length 1, of the rows of one bank."""
        _, _, token_ids, slots = zip(*rows, strict=True)
        tower, own_slots = (self.tower, None) if bank is None else (bank.tower, torch.tensor(slots))  # (R,)
        return F.normalize(tower.encode_token_ids(token_ids, _BATCH, own_slots), dim=1)


def _checked(answer: Embedded | Exception, job: TextJob) -> Embedded | Exception:
    if isinstance(answer, Embedded) and not torch.isfinite(answer.embeddings).all():
        used = ", ".join(sorted({name or "none" for name in job.adapters}))
        return NotFiniteError(f"embeddings are not finite numbers: an adapter is damaged (adapters used: {used})")
    return answer
