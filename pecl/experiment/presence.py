"""Does the best score of a word tell whether a photograph of it is there: `pecl evaluate --presence`.

Every fourth image of a data set is the gallery. A word counts if at least `FEWEST` captions of the whole set have it,
it has three letters or more, and is no stop word of its language. It is present if a caption of an image in the gallery
has it, and absent otherwise. Its score is the similarity of the nearest image. The area under the ROC curve is .5 where
the score tells nothing, and 1 where a cutoff would tell all absent words from all present ones.
"""

import re
from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F

from pecl.config import ExperimentConfig
from pecl.data.language_guess import stop_words
from pecl.errors import ConfigError, DataError
from pecl.experiment.prepared import prepare_evaluation
from pecl.experiment.run import towers_of, with_adapter
from pecl.training.distributed import use_threads

FEWEST = 2  # captions of the whole set that have a word
EVERY = 4  # images of the set to one of the gallery
_WORD = re.compile(r"[^\W\d_]{3,}")


def presence(config: ExperimentConfig) -> dict[str, object]:
    """Measure how well a language's words are told present or absent by their best score.

    Return the language, the numbers of images of the gallery, of present and of absent words, and the area.
    """
    if config.gallery != "images":
        raise ConfigError(f"gallery: expected images with --presence, got {config.gallery}")
    config, choice = with_adapter(config)
    with use_threads(config.threads):
        towers = towers_of(config)
        prepared = prepare_evaluation(config, towers)
        bank = choice.bank(towers.text, config.language)
        words, is_present = words_of(prepared.texts("test"), prepared.places("test"), config.language)
        if is_present.all() or not is_present.any():
            raise DataError(f"--presence: expected words that only some of the captions have, got {len(words)} words")
        gallery = F.normalize(prepared.images[prepared.gallery_items("test")[::EVERY]], dim=1)  # (G, D)
        best = (bank.encode_text(words, config.language) @ gallery.T).amax(dim=1).numpy()  # (W, D) x (D, G): (W,)
    area = area_under_curve(best[is_present], best[~is_present])
    counts = {"images": len(gallery), "present": int(is_present.sum()), "absent": int((~is_present).sum())}
    return {"language": config.language, **counts, "area": area}


def words_of(captions: Sequence[str], places: Sequence[int], language: str) -> tuple[list[str], np.ndarray]:
    """Return the words that count, and for each, (W,) bool, whether a caption of an image in the gallery has it.

    `places` has the number of each caption's image; every fourth is in the gallery.
    """
    stop = stop_words([language])
    counts: dict[str, int] = {}
    present = set[str]()
    for caption, place in zip(captions, places, strict=True):
        own = set(_WORD.findall(caption.lower())) - stop
        counts |= {word: counts.get(word, 0) + 1 for word in own}
        present |= own if place % EVERY == 0 else set()
    words = sorted(word for word, count in counts.items() if count >= FEWEST)
    return words, np.array([word in present for word in words], bool)


def area_under_curve(present: np.ndarray, absent: np.ndarray) -> float:
    """Return the share of pairs of a present (P,) and an absent (A,) score in which the present one is larger.

    Equal scores count half.
    """
    difference = present[:, None] - absent
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())
