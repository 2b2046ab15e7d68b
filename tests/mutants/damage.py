"""Faults of what is checked when it is read: pictures, what occurs twice, manifests and cached translations."""

from mutants.table import Mutant

_PICTURES = "tests/data/test_pictures.py"
_DOOR = "tests/data/test_picture_door.py"
_CHECK = "tests/commands/test_data.py"
_RECORD = "tests/experiment/test_record.py"
_DIGEST = "tests/results/test_digest.py"
_CORRUPTION = "tests/faults/test_corruption.py"

# file -> (name, before, after, test)
_FAULTS = {
    "pecl/data/pictures.py": [
        ("a camera's rotation is left out", "else ImageOps.exif_transpose(image)", "else image", _PICTURES),
        ("16 bits are cut to their high byte", "value * (1 / 257) + 0.5", "value * (1 / 256)", _PICTURES),
        (
            "the colours under transparent pixels show",
            "    if upright.has_transparency_data:",
            "    if False:",
            _PICTURES,
        ),
        ("a large JPEG is decoded whole", "if is_jpeg and pixels > WHOLE:", "if False:", _DOOR),
        ("an image of any size is decoded", "    if pixels > most:", "    if False:", _DOOR),
        ("what is transparent is black", 'colours.size, "white")', 'colours.size, "black")', _PICTURES),
    ],
    "pecl/data/captions.py": [
        (
            "an image is decoded whatever its hash is by now",
            "if expected is None or sha256_bytes(content) == expected:",
            "if True:",
            _DOOR,
        ),
        (
            "two files of one size and time are one",
            "return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns",
            "return 0, found.st_size, found.st_mtime_ns, 0",
            _DOOR,
        ),
        ("a file just written is not hashed again", "if just_now else", "if False else", _DOOR),
        ("a file written while it is hashed has a hash", "if _state(path) != state:", "if False:", _DOOR),
    ],
    "pecl/data/duplicates.py": [
        ("equal captions of one image count as repeats", "owners is None or", "True or", _CHECK),
    ],
    "pecl/data/summary.py": [
        (
            "copies in two parts count as repeats",
            "    if captions.part is None:\n        yield",
            "    if True:\n        yield",
            _CHECK,
        ),
    ],
    "pecl/experiment/prepared.py": [
        (
            "copies of training pictures are counted",
            'shown, queries = self.gallery_items("test")',
            "shown, queries = range(len(self.data.images))",
            _RECORD,
        ),
    ],
    "pecl/results/digest.py": [
        ("a result is taken as it is", "if KEY in document and", "if False and", _DIGEST),
        ("a result is written without a digest", "return {**read, KEY: sha256_json(read)}", "return read", _DIGEST),
    ],
    "pecl/results/side_files.py": [
        ("a manifest is taken as it is", " and sha256_json(manifest)[:16] != name:", " and False:", _CORRUPTION),
    ],
    "pecl/data/translating/cache.py": [
        (
            "a cached translation is taken as it is",
            "if row[1] == _digest(key, str(row[0])):",
            "if True:",
            "tests/data/translating/test_translate.py",
        ),
    ],
}

MUTANTS = [
    Mutant(name, file, before, after, (test,), science=True)
    for file, faults in _FAULTS.items()
    for name, before, after, test in faults
]
