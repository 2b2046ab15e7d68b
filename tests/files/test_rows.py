"""Files of rows: safetensors' own reader finds the rows in them, and every block is under its checksum."""

import hashlib
import json
import os

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from pecl.errors import DataError
from pecl.files import rows as module
from pecl.files.rows import DamagedRowsError, open_rows, write_rows

TENSORS = {
    "wide": np.arange(35).reshape(7, 5) - 9,  # 40 bytes a row
    "tall": np.linspace(0, 1, 78, dtype=np.float32).reshape(13, 1, 6),  # 24 bytes a row
    "numbers": np.arange(11, dtype=np.int32),
    "bytes": np.arange(250, dtype=np.uint8),
}
ROWS_PER_BLOCK = {100: (2, 4, 25, 100), 30: (1, 1, 7, 30)}  # by the bytes of a block, and at least one
METADATA = {"made by": "Zoë"}
START = 4096  # of the first tensor


def parts(count, tensors=TENSORS):
    split = {name: np.array_split(tensor, count) for name, tensor in tensors.items()}
    return ({name: own[i] for name, own in split.items()} for i in range(count))


@pytest.fixture(params=ROWS_PER_BLOCK)
def block(request, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", request.param)
    return request.param


@pytest.fixture
def path(tmp_path, block, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))  # the disk of the file has the room, not /tmp
    write_rows(tmp_path / "rows", tuple(TENSORS), parts(4), METADATA)
    return tmp_path / "rows"


def change(path, edit):
    """Edit the header of a file, and keep its length."""
    content = path.read_bytes()
    header = json.loads(content[8:START])
    edit(header)
    path.write_bytes(content[:8] + json.dumps(header).encode().ljust(START - 8) + content[START:])


def test_another_reader_of_the_format_finds_rows_checksums_and_metadata(path, block):
    found = load_file(path)
    hashes = [
        hashlib.sha256(tensor[start : start + size].tobytes()).digest()
        for tensor, size in zip(TENSORS.values(), ROWS_PER_BLOCK[block], strict=True)
        for start in range(0, len(tensor), size)
    ]
    assert found.pop("checksums").tobytes() == b"".join(hashes)
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(found[name], tensor, strict=True)
    with safe_open(path, "numpy") as file:
        assert file.metadata() == {**METADATA, "digest": open_rows(path)[1]["digest"]}


def test_rows_come_back_whole_in_part_and_in_any_order(path):
    tensors, metadata = open_rows(path)
    assert {name: metadata[name] for name in METADATA} == METADATA
    assert tensors.keys() == TENSORS.keys()
    order = np.array([6, 0, 3, 3, 1, 5])
    for name, tensor in TENSORS.items():
        found = tensors[name]
        assert len(found) == len(tensor)
        for read, expected in (
            (found.load(), tensor),
            (found.read(3, 6), tensor[3:6]),
            (found.take(order), tensor[order]),
            (np.concatenate(list(found.blocks())), tensor),
        ):
            np.testing.assert_array_equal(read, expected, strict=True)
        assert not found.load().flags.writeable


def test_a_read_that_comes_short_goes_on_and_a_cut_file_is_damage(path, monkeypatch):
    """Linux reads at most 2 GiB at a time."""
    tensors, preadv = open_rows(path)[0], os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, buffers, place: preadv(file, [buffers[0][:7]], place))
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(tensors[name].read(1, 6), tensor[1:6], strict=True)
    os.truncate(path, START + 44)
    with pytest.raises(DamagedRowsError, match="it was cut while it was open"):
        tensors["wide"].read(0, 2)


def test_a_digest_names_the_content_and_not_the_parts_it_came_in(tmp_path, block):
    def digest(count=1, metadata=METADATA, **changed):
        tensors = TENSORS | changed
        return write_rows(tmp_path / "rows", tuple(tensors), parts(count, tensors), metadata)

    wide = TENSORS["wide"]
    others = [
        digest(metadata={"made by": "Zoe"}),
        *(digest(wide=one) for one in (wide + (wide == 25), wide[:-1], wide.reshape(7, 5, 1), wide.view(np.int32))),
    ]
    assert len({digest(), digest(5), *others}) == 1 + len(others)


@pytest.mark.parametrize("block", [100], indirect=True)
def test_a_changed_row_is_found_wherever_its_block_is_read(path):
    content = bytearray(path.read_bytes())
    content[START + 5 * 40 + 39] ^= 1  # the last byte of row 5 of `wide`; rows 4 and 5 are a block
    path.write_bytes(content)
    wide = open_rows(path, check=False)[0]["wide"]
    for read in (lambda: open_rows(path), wide.load, lambda: wide.take(np.array([0, 4]))):
        with pytest.raises(DamagedRowsError, match=r"rows is damaged \(rows from 4 on do not match their checksum\)"):
            read()
    np.testing.assert_array_equal(wide.take(np.array([6, 3])), TENSORS["wide"][[6, 3]])


def test_tensors_without_rows_are_kept(tmp_path):
    write_rows(tmp_path / "rows", ("none", "wide"), [{"wide": TENSORS["wide"][:0]}], {})
    tensors, _ = open_rows(tmp_path / "rows")
    assert {name: (rows.shape, rows.load().shape) for name, rows in tensors.items()} == {
        "none": ((0,), (0,)),
        "wide": ((0, 5), (0, 5)),
    }


def test_metadata_fill_the_room_of_the_header_and_no_more(tmp_path):
    path = tmp_path / "rows"
    write_rows(path, ("wide",), [], {"a": ""})
    room = START - 8 - len(path.read_bytes()[8:START].rstrip())
    write_rows(path, ("wide",), [], {"a": "x" * room})
    assert open_rows(path)[1]["a"] == "x" * room
    with pytest.raises(ValueError, match="metadata: expected at most 4088 bytes with the header, got 4089"):
        write_rows(path, ("wide",), [], {"a": "x" * (room + 1)})


@pytest.mark.parametrize("other", [TENSORS["wide"][:, :4], TENSORS["wide"].astype(np.int32)])
def test_rows_of_another_width_or_type_are_refused(tmp_path, other):
    with pytest.raises(ValueError, match=r"wide: expected int64 \(B, \(5,\)\), got"):
        write_rows(tmp_path / "rows", ("wide",), [{"wide": TENSORS["wide"]}, {"wide": other}], {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "it has [0-9]+ bytes, its header says [0-9]+"),
        (lambda path: path.write_bytes(path.read_bytes() + b" "), "it has [0-9]+ bytes, its header says [0-9]+"),
        (lambda path: path.write_bytes(b"\0" * 8), "its header has 0 bytes, expected 4088"),
        (lambda path: change(path, lambda header: header["__metadata__"].update(a="")), "its checksums do not match"),
        (lambda path: change(path, lambda header: header["wide"].update(shape=[5, 7])), "its checksums do not match"),
        *(
            (
                lambda path, shape=shape, at=(begin, end): change(
                    path, lambda header: header["wide"].update(shape=shape, data_offsets=at)
                ),
                rf"a tensor of shape \(.*\) lies at bytes {begin} to {end}",
            )
            for shape, begin, end in (
                *(([], 0, 8), ([7, 0], 0, 0), ([7, 0, 4], 0, 0), ([-7, -5], 0, 280), ([7, 5], -8, 272)),
                *(([7.0, 5], 0, 280), ([7, 4], 0, 280), ([True, 35], 0, 280)),
            )
        ),
        (lambda path: change(path, lambda header: header.pop("__metadata__")), "__metadata__"),
        (lambda path: change(path, lambda header: header["wide"].update(dtype="F64")), "F64"),
    ],
)
@pytest.mark.parametrize("block", [100], indirect=True)
def test_what_does_not_fit_is_damage(path, damage, said):
    damage(path)
    with pytest.raises(DamagedRowsError, match=said) as caught:
        open_rows(path, check=False)
    assert str(caught.value) == f"{path} is damaged ({caught.value.reason}); delete it and make it again"


def test_a_file_that_is_missing_or_a_link_is_not_damage(path):
    link = path.with_name("link")
    link.symlink_to(path)
    open_rows(link)
    for wrong, follow in ((link, False), (path.with_name("none"), True)):
        with pytest.raises(DataError, match=f"^cannot read {wrong}: ") as caught:
            open_rows(wrong, follow=follow)
        assert not isinstance(caught.value, DamagedRowsError)
