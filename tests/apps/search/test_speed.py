"""What search promises of time, on two cores; measured is that of the processor, to which other work adds little."""

import time

import numpy as np
import pytest
import torch

from pecl.apps.search.catalogue import Entry, Head, read_catalogue, write_entry, write_head, writing
from pecl.apps.search.exact import ExactSearch
from pecl.data.custom.photographs import Stamp


@pytest.mark.slow
def test_a_query_in_a_hundred_thousand_takes_less_than_20_milliseconds(tmp_path):
    count, width = 100_000, 256
    generator = np.random.default_rng(0)
    matrix = generator.standard_normal((count, width), np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    towers = {name: {"name": name, "fingerprint": "0"} for name in ("image", "text")}
    with writing(tmp_path, new=True) as database:
        for i in range(count):
            write_entry(database, Entry(f"{i:06}.jpg", Stamp(1, 1, 1, i), f"{i:064x}"), matrix[i], None)
        write_head(database, Head(str(tmp_path), "mini", towers, width))
    start = time.process_time()
    store = ExactSearch(read_catalogue(tmp_path).matrix)
    assert time.process_time() - start < 3
    query = matrix[777]
    torch.set_num_threads(2)
    assert store.nearest(query, 10, False)[0][0] == 777
    seconds = []
    for _ in range(20):
        start = time.process_time()
        store.nearest(query, 10, False)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 2 * 0.020, sorted(seconds)
