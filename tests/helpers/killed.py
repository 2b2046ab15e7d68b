"""Work of processes that kill themselves half-way; a server of forks imports this module."""

import os
import signal

import torch

import pecl.encoders.store
import pecl.encoders.towers
import pecl.search.build
from pecl.data.translating.translate import file_job, translate_job


def fill_store(folder, count, dies_at):
    """Store `count` vectors in batches of 20, and die before the one that begins at `dies_at`."""

    def compute(places):
        for start in range(0, len(places), 20):
            if start == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            batch = places[start : start + 20]
            yield batch, torch.tensor(batch).unsqueeze(1) + torch.arange(4) / 10

    pecl.encoders.store.EmbeddingStore("t", folder).get([f"key {i}" for i in range(count)], compute)


class _Killed:
    """A translator that dies at the sentence "c c c"."""

    identity = {"model": "counting"}  # noqa: RUF012
    length = staticmethod(len)

    def translate(self, texts):
        if "c c c" in texts:
            os.kill(os.getpid(), signal.SIGKILL)
        return [text.upper() for text in texts]


def translate_and_die(source, output):
    translate_job(file_job(source, "en", "de", output), _Killed(), 1)
