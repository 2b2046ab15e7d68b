"""Work of processes that kill themselves half-way; a server of forks imports this module."""

import os
import signal

import torch

import pecl.encoders.store
import pecl.encoders.towers
import pecl.search.build
from helpers.small_index import counted_towers
from pecl.search.build import build_index


def fill_store(folder, count, dies_at):
    """Store `count` vectors in batches of 20, and die before the one that begins at `dies_at`."""

    def compute(places):
        for start in range(0, len(places), 20):
            if start == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            batch = places[start : start + 20]
            yield batch, torch.tensor(batch).unsqueeze(1) + torch.arange(4) / 10

    pecl.encoders.store.EmbeddingStore("t", folder).get([f"key {i}" for i in range(count)], compute)


def index_photographs(folder, cache, dies_after):
    """Index `folder` in shards of four photographs, and die after `dies_after` of them."""
    os.environ["PECL_CACHE_DIR"] = cache
    pecl.encoders.store.SHARD_ROWS, pecl.encoders.store.IMAGE_BATCH = 4, 2
    load, counted = counted_towers()

    def load_and_die(*_, **__):
        tower = load()
        tower.register_forward_pre_hook(
            lambda *_: os.kill(os.getpid(), signal.SIGKILL) if counted.pictures > dies_after else None
        )
        return tower

    pecl.encoders.towers.load_image_encoder = load_and_die
    build_index(folder)


def renew_and_die(folder):
    """Renew the index of `folder`, and die when the transaction has written everything but the head."""
    pecl.search.build.write_head = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    build_index(folder)
