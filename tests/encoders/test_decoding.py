"""Batches that are read one ahead, against the plain way."""

import threading

import pytest

from pecl.encoders.decoding import batches, batches_ahead

SECONDS = 120  # limit of waiting for another thread


@pytest.mark.parametrize("count", range(8))
def test_lists_are_those_of_the_plain_way(count):
    expected = [list(range(count))[i : i + 3] for i in range(0, count, 3)]
    assert list(batches(iter(range(count)), 3)) == expected
    assert list(batches_ahead(iter(range(count)), 3)) == expected


def test_one_list_is_read_while_the_one_before_is_used():
    read = []
    second_read = threading.Event()

    def items():
        for i in range(8):
            read.append(i)
            if i == 3:
                second_read.set()
            yield i

    lists = batches_ahead(items(), 2)
    assert next(lists) == [0, 1]
    assert second_read.wait(SECONDS)
    assert read == [0, 1, 2, 3]  # never a third list
    assert list(lists) == [[2, 3], [4, 5], [6, 7]]


def test_an_error_comes_where_its_list_would():
    def items():
        yield from range(5)
        raise ValueError("item 5 is damaged")

    lists = batches_ahead(items(), 2)
    assert [next(lists), next(lists)] == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match=r"^item 5 is damaged$"):
        next(lists)


def test_no_thread_is_left_when_the_caller_stops():
    before = threading.active_count()
    lists = batches_ahead(iter(range(10)), 2)
    next(lists)
    lists.close()
    assert threading.active_count() == before
