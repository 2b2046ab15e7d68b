"""A file that is interrupted in the middle of what is written to it."""


class HalfWritten:
    """A binary file that calls `at_half` with itself when half of what is written to it is on disk."""

    def __init__(self, file, at_half):
        self._file, self._at_half = file, at_half

    def write(self, content):
        self._file.write(content[: len(content) // 2])
        self._file.flush()
        self._at_half(self._file)
        self._file.write(content[len(content) // 2 :])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)
