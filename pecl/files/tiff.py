"""The directories of a TIFF, checked before Pillow reads them: `check_tags`."""

import contextlib
import struct

MAX_NUMBERS = 1 << 20  # in all tags: Pillow makes a tuple of Python numbers of a tag, or of fractions of 200 bytes
_BYTES = (1, 2, 6, 7)  # types of tags that stay bytes
_EXIF = 0x8769  # tag with the position of the directory of EXIF


def check_tags(content: bytes) -> None:
    """Raise ValueError if the tags of a TIFF hold more than `MAX_NUMBERS`; Pillow finds damage itself."""
    order = "<" if content.startswith(b"II") else ">"
    is_big = content[2:3] == b"+"
    position = struct.Struct(order + ("Q" if is_big else "L"))
    count = struct.Struct(order + ("Q" if is_big else "H"))
    entry = struct.Struct(order + ("HHQQ" if is_big else "HHLL"))

    numbers = 0
    with contextlib.suppress(struct.error):  # the file is damaged here, where Pillow stops reading tags, too
        (first,) = position.unpack_from(content, 8 if is_big else 4)
        directories = [first]
        for start in directories:
            (tags,) = count.unpack_from(content, start)
            for place in range(tags):
                tag, kind, length, value = entry.unpack_from(content, start + count.size + place * entry.size)
                numbers += 0 if kind in _BYTES else length
                if tag == _EXIF and start == first and len(directories) == 1:
                    directories.append(value)

    if numbers > MAX_NUMBERS:
        raise ValueError(f"expected at most {MAX_NUMBERS:,} numbers in its tags, got {numbers:,}")
