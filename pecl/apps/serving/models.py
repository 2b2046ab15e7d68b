"""`Models`: the bank of a server, with the model names of the base encoder and its adapters in requests.

Texts of all waiting requests are embedded together, in one pass per adapter spec.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F

from pecl.adapters.bank import AdapterBank, Row, mixed
from pecl.apps.serving.refusals import Refusal, bad
from pecl.encoders.batches import TokenIds
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, NotFiniteError, PeclError, suggest
from pecl.language.languages import ENGLISH
from pecl.options import quoted

_BATCH = 64  # texts that the tower takes at a time


@dataclass(frozen=True)
class TextJob:
    """Texts of one request."""

    texts: list[str]
    adapters: list[str | None]  # adapter of each text; None for the base encoder
    param: str = "input"  # field of the request that holds the texts
    # whether texts that are too long for the tower are cut, instead of refused
    truncate: bool = False
    first: int = 0  # number of the first text within the request
    # of each text, for towers that need it; None: its adapter's, or English
    languages: list[str | None] | None = None
    exactly: bool | None = None  # whether texts are embedded as they were typed, see `AdapterBank.read`

    def __len__(self) -> int:
        return len(self.texts)

    def parts(self, size: int) -> "list[TextJob]":
        """Split the job into jobs of at most `size` texts."""
        return [
            replace(
                self,
                texts=self.texts[start : start + size],
                adapters=self.adapters[start : start + size],
                first=self.first + start,
                languages=None if self.languages is None else self.languages[start : start + size],
            )
            for start in range(0, len(self), size)
        ]


class Embedded(NamedTuple):
    """Embeddings of a job."""

    embeddings: torch.Tensor  # (N, D) float32 on the CPU, each of length 1
    tokens: int = 0  # number of tokens that the tower read


class _ReadJob(NamedTuple):
    """Rows of a job's texts."""

    rows: list[Row]
    token_ids: TokenIds  # of each row


class Models(AdapterBank):
    """A bank whose base encoder is called `name` in requests, and each adapter `<name>:<adapter>`.

    Not thread-safe: call methods that change or compute from one thread only.
    """

    def __init__(self, name: str, tower: MultilingualTextEncoder) -> None:
        super().__init__(tower, plain=[ENGLISH])
        self.name = name
        self._since = int(time.time())

    @property
    def names(self) -> list[str]:
        """Name of each model in requests: the base encoder first."""
        return [self.model_of(name) for name in (None, *self.adapters)]

    def describe(self) -> list[dict[str, str | int | None]]:
        """Return the models in OpenAI's form; `adapter` is the spec, None for the base encoder."""
        same = {"object": "model", "created": self._since, "owned_by": "pecl", "tower": self.tower.name}
        specs = {None: None} | self.spec_names()
        return [{"id": self.model_of(name), **same, "language": name, "adapter": spec} for name, spec in specs.items()]

    def model_of(self, adapter: str | None) -> str:
        """Return the model name of an adapter, or of the base encoder for None."""
        return self.name if adapter is None else f"{self.name}:{adapter}"

    def adapter_of(self, model: str) -> str | None:
        """Return the adapter with this model name; None for the base encoder.

        Raises:
            Refusal: 404, there is no such model.
        """
        base, colon, adapter_name = model.partition(":")
        adapter = self.find(adapter_name)
        if base == self.name and (adapter or not colon):
            return adapter
        expected = f"one of the {len(self.names)} models that GET /v1/models lists"
        hint = suggest(model[:200], self.names)
        raise Refusal(404, f"model: expected {expected}, got {quoted(model)}{hint}", "model", "model_not_found")

    def embed(self, jobs: Sequence[TextJob]) -> list[Embedded | Exception]:
        """Return the embeddings of each job, or its error, which does not affect other jobs."""
        read = [self._read_job(job) for job in jobs]
        parts = [part for part in read if not isinstance(part, Exception)]
        token_ids = [ids for part in parts for ids in part.token_ids]
        adapters = [row.adapter for part in parts for row in part.rows]
        embeddings = iter(self.encode_token_ids(token_ids, adapters, _BATCH))  # R of (D,)

        answers: list[Embedded | Exception] = []
        for job, part in zip(jobs, read, strict=True):
            if isinstance(part, Exception):
                answers.append(part)
                continue

            of_rows = torch.stack([next(embeddings) for _ in part.rows])  # (R, D)
            of_texts = mixed(of_rows, [row.index for row in part.rows], [row.weight for row in part.rows])  # (N, D)
            answers.append(_checked(F.normalize(of_texts, dim=1), part.token_ids, job))
        return answers

    def _read_job(self, job: TextJob) -> "_ReadJob | Exception":
        """Return the rows of a job's texts with their token ids, or the error that answers it."""
        languages = job.languages or [None] * len(job)
        triples = zip(job.texts, languages, job.adapters, strict=True)
        rows = [Row(i, text, language, adapter, 1.0) for i, (text, language, adapter) in enumerate(triples)]
        try:
            rows = self.read_rows(rows, job.exactly)
            texts, adapters, languages = zip(*((row.text, row.adapter, row.language) for row in rows), strict=True)
            token_ids = self.tokenize(texts, adapters, languages)
        except ConfigError as error:
            if all(name is None or name in self.adapters for name in job.adapters):
                return error
            # it was unloaded since the request was read
            return Refusal(404, str(error), "model", "model_not_found")
        except PeclError as error:
            return error

        too_long = {} if job.truncate else self.whole_lengths(texts, token_ids, adapters, languages)
        for index, (length, max_length) in too_long.items():
            problem = f"text {job.first + rows[index].index} has {length} tokens, the tower's limit is {max_length}"
            return bad(f"{job.param}: {problem}: shorten it, or send truncate: true", job.param)

        return _ReadJob(rows, token_ids)


def _checked(embeddings: torch.Tensor, token_ids: TokenIds, job: TextJob) -> Embedded | Exception:
    if not torch.isfinite(embeddings).all():
        names = ", ".join(sorted({name or "none" for name in job.adapters}))
        return NotFiniteError(f"embeddings contain NaN or infinity: an adapter is damaged (adapters used: {names})")
    return Embedded(embeddings, sum(map(len, token_ids)))
