"""Files and folders: written whole or not at all, read within limits, with digests; and locks."""

from pecl.files.atomic import remove_abandoned_files, write_bytes, write_json, write_stream, write_text
from pecl.files.digests import check_sha256, is_sha256, sha256_bytes, sha256_file, sha256_json, sha256_lines
from pecl.files.folders import check_absent, check_writable, default_cache_dir, inside, is_path, new_folder
from pecl.files.locks import LOCK, BusyError, lock_holder, locked
from pecl.files.reading import (
    HALF_CHARACTER,
    check_regular,
    load_json,
    open_regular,
    parse_json,
    parse_yaml,
    read_regular,
)
from pecl.files.tensors import DamagedFileError, read_tensors, write_tensors
