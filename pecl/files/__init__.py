"""Files and folders: written whole or not at all, read within limits, with digests; and locks."""

from pecl.files.digests import check_sha256, sha256_bytes, sha256_file, sha256_json, sha256_lines
from pecl.files.locks import LOCK, BusyError, lock_holder, locked
from pecl.files.paths import check_absent, check_writable, default_cache_dir, expanded, is_path, make_private
from pecl.files.reading import HALF_CHARACTER, check_regular, load_json, open_regular, parse_json, read_regular
from pecl.files.tensors import DamagedFileError, read_metadata, read_tensors, write_tensors
from pecl.files.writing import (
    checked_folder,
    new_folder,
    remove_abandoned_files,
    write_bytes,
    write_json,
    write_stream,
    write_text,
)
