"""The likeliest reading of texts."""

from pecl.language.reading import read_texts


def restored(texts, languages):
    """Texts with the marks and capitals that they may lack."""
    return [reading.restored for reading in read_texts(texts, languages)]
