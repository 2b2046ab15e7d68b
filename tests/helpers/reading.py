"""The likeliest reading of texts."""

from pecl.language.reading import read_texts


def restored(texts, languages):
    """Texts with the marks and capitals that they lack: the likeliest reading of each."""
    return [reading.shares[0][0] for reading in read_texts(texts, languages)]
