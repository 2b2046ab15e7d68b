"""Faults of what is checked when it is read: pictures, what occurs twice, manifests and cached translations."""

from mutants.table import Mutant

_PICTURES = "tests/data/test_pictures.py"
_DOOR = "tests/data/test_picture_door.py"
_CHECK = "tests/commands/test_data.py"
_RECORD = "tests/experiment/test_record.py"
_DIGEST = "tests/results/test_digest.py"
_CORRUPTION = "tests/faults/test_corruption.py"
_VERIFY = "tests/results/test_verify.py"
_VALUES = "tests/adapters/formats/test_values.py"
_HUB = "tests/export/test_hub.py"
_FOLDERS = "tests/export/test_whole_folders.py"

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
        ("retrieved items are taken as they are", "        check_digest(document)", "        pass", _CORRUPTION),
        (
            "retrieved items of another run are shown",
            'if document["run"] != result.name:',
            "if False:",
            "tests/results/test_result.py",
        ),
    ],
    "pecl/results/verify.py": [
        ("a result without a digest is published", "if not result.has_digest:", "if False:", _VERIFY),
        ("an edited recall is published", "    check_recalls(result)\n", "", _VERIFY),
        ("an adapter without a name is published", "if result.adapter.sha256 is None:", "if False:", _VERIFY),
        ("another file is taken for the adapter", "adapter or result.adapter_path,", "result.adapter_path,", _VERIFY),
    ],
    "pecl/export/hub.py": [
        ("adapters are published unverified", "        verify(one.result, one.file.path)", "        pass", _HUB),
        ("a copy is published unverified", "        verify(one.result, folder / one.name)", "        pass", _HUB),
        ("an index is taken as it is", "        check_digest(index)\n", "", _HUB),
        ("an index without a digest is taken", "        if KEY not in index:", "        if False:", _HUB),
        ("a path goes to the network", 'if os.path.isdir(first := text.partition("/")[0]):', 'if first := "":', _HUB),
    ],
    "pecl/adapters/formats/files.py": [
        ("an adapter is used under another's name", "named_by=check_adapter_file(path)", "named_by=None", _VERIFY),
    ],
    "pecl/adapters/formats/named.py": [
        ("an adapter under another's figures", "    if found != sha256:", "    if False:", _VERIFY),
        ("a changed result vouches for an adapter", 'not in ("", sha256_json(content))', "is None", _VERIFY),
    ],
    "pecl/adapters/adapter.py": [
        ("an adapter that is not finite", "if not torch.isfinite(tensor.float()).all():", "if False:", _VALUES),
        ("an adapter of whole numbers", "if not tensor.is_floating_point() or", "if", _VALUES),
        ("a state in memory that is not finite", "        check_finite(state)\n", "", _VALUES),
    ],
    "pecl/adapters/merge.py": [
        ("merged weights that are not finite", "torch.isfinite(weight).all()", "True", _VALUES),
    ],
    "pecl/encoders/loading/checksums.py": [
        ("an exported folder is taken as it is", "        if found != sha256:", "        if False:", _FOLDERS),
    ],
    "pecl/encoders/export.py": [
        ("an exported folder lacks its checksums", "        write_checksums(folder)\n", "", _FOLDERS),
    ],
    "pecl/experiment/record.py": [
        (
            "a result names another file",
            "digest = sha256_file(path)",
            "digest = '0' * 64",
            _VERIFY,
        ),
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
