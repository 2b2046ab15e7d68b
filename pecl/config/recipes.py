"""Recipes: which text a training needs, what the student and the frozen towers embed, and the loss between them.

A recipe is a name for values of config fields, such as those of a route or of `pecl distil`. Some
have a loss of their own, a `torch.nn.Module` in `training/recipes`, which takes the place of the
objective that the fields `route`, `anchor`, `alignment` and `image_weight` describe.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pecl.options import Registry

IMAGES = "images"  # a view: embeddings of the photographs
MEMORY = "memory"  # a view: English captions of `config.memory`, all of them in each step

PAIRS = "pairs: English captions and their translations"
PHOTOGRAPHS = "captioned photographs"
BOTH = "captioned photographs, and translations of the captions"
UNPAIRED = "text of the language, and other text in English"


@dataclass(frozen=True)
class Recipe:
    """One way to train a language.

    Args:
        summary: one sentence.
        text: the text that a language needs, in words.
        student: columns that the tower with its adapter embeds: target, english, target_to_english, english_to_target.
        teacher: columns that the frozen tower embeds, `images`, and `memory`.
        loss: the loss in words.
        values: config fields that it sets; a config may override them.
        bibtex: the entry of the publication.
        make: class of its own loss, called with the config and the width of the embeddings, or the
            class's name in `training/recipes`; None for the objective of the config's fields.
    """

    summary: str
    text: str
    student: tuple[str, ...]
    teacher: tuple[str, ...]
    loss: str
    values: Mapping[str, Any] = field(default_factory=dict)
    bibtex: str = ""
    make: Any = None


def own_recipe(name: str | None) -> Recipe | None:
    """Return the recipe of that name if it has a loss of its own, or None."""
    if name is None or RECIPES[name].make is None:
        return None
    return RECIPES[name]


def _bibtex(key: str, title: str, author: str, booktitle: str, year: int, **more: str) -> str:
    fields = {"title": f"{{{title}}}", "author": author, "booktitle": booktitle, "year": str(year), **more}
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"@inproceedings{{{key},\n{lines}\n}}"


def _acl(key: str, title: str, author: str, booktitle: str, year: int, anthology: str, arxiv: str = "") -> str:
    """Return the entry of a paper in the ACL Anthology, whose DOI ends with its number there."""
    more = {"eprint": arxiv, "archivePrefix": "arXiv"} if arxiv else {}
    return _bibtex(key, title, author, booktitle, year, doi=f"10.18653/v1/{anthology}", **more)


_ROUTES = _acl(
    "zhang2023parameter",
    "Parameter-Efficient Cross-lingual Transfer of Vision and Language Models via Translation-based Alignment",
    "Zhang, Zhen and Wang, Jialu and Wang, Xin Eric",
    "Findings of the Association for Computational Linguistics: EMNLP 2023",
    2023,
    "2023.findings-emnlp.483",
    "2305.03510",
)
_REIMERS = _acl(
    "reimers2020making",
    "Making Monolingual Sentence Embeddings Multilingual using Knowledge Distillation",
    "Reimers, Nils and Gurevych, Iryna",
    "Proceedings of the 2020 Conference on Empirical Methods in Natural Language Processing (EMNLP)",
    2020,
    "2020.emnlp-main.365",
    "2004.09813",
)
_M_CLIP = _bibtex(
    "carlsson2022cross",
    "Cross-lingual and Multilingual CLIP",
    "Carlsson, Fredrik and Eisen, Philipp and Rekathati, Faton and Sahlgren, Magnus",
    "Proceedings of the Thirteenth Language Resources and Evaluation Conference",
    2022,
    pages="6848--6854",
    url="https://aclanthology.org/2022.lrec-1.742",
)
_MCLIP = _acl(
    "chen2023mclip",
    "mCLIP: Multilingual CLIP via Cross-lingual Transfer",
    "Chen, Guanhua and Hou, Lu and Chen, Yun and Dai, Wenliang and Shang, Lifeng and Jiang, Xin and Liu, Qun and "
    "Pan, Jia and Wang, Wenping",
    "Proceedings of the 61st Annual Meeting of the Association for Computational Linguistics (Volume 1: Long Papers)",
    2023,
    "2023.acl-long.728",
)
_UCLIP = _bibtex(
    "chung2026uclip",
    "uCLIP: Parameter-Efficient Multilingual Extension of Vision-Language Models with Unpaired Data",
    "Chung, Dahyun and Shin, Donghyun and Sung, Yujin and Moon, Seunggi and Jeon, Jinwoo and Lee, Byung-Jun",
    "Proceedings of the AAAI Conference on Artificial Intelligence",
    2026,
    eprint="2511.13036",
    archivePrefix="arXiv",
)
_CLIP_KD = _bibtex(
    "yang2024clipkd",
    "CLIP-KD: An Empirical Study of CLIP Model Distillation",
    "Yang, Chuanguang and An, Zhulin and Huang, Libo and Bi, Junyu and Yu, Xinqiang and Yang, Han and Diao, Boyu and "
    "Xu, Yongjun",
    "Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)",
    2024,
    eprint="2307.12732",
    archivePrefix="arXiv",
)
_LIBOVICKY = _acl(
    "libovicky2020language",
    "On the Language Neutrality of Pre-trained Multilingual Representations",
    "Libovick{\\'y}, Jind{\\v r}ich and Rosa, Rudolf and Fraser, Alexander",
    "Findings of the Association for Computational Linguistics: EMNLP 2020",
    2020,
    "2020.findings-emnlp.150",
    "2004.05160",
)

DISTIL_DEFAULTS: Mapping[str, Any] = {
    "adapter": "lora:r=3,target_modules=intermediate/output+head:rank=48",
    "alignment_weight": 1.0,
    "anchor": "frozen",
    "batch_size": 32,
    "choose": "text",
    "clean": True,
    "dropout": False,
    "image_weight": 0.0,
    "warmup": 20,
}

WITH_IMAGES: Mapping[str, Any] = {"image_weight": 0.003}  # with `--images`; see docs/distil.md

# Least number of pairs, and schedule, from docs/results.md. A head solved in closed form fits the
# noise of few pairs, so that starting from it costs more than it gains. Few pairs need more passes;
# thousands of pairs use the closed form.
_SCHEDULES: tuple[tuple[int, Mapping[str, Any]], ...] = (
    (0, {"solver": "gradient", "epochs": 20, "eval_every": 20, "lr": 2e-3}),
    (300, {"solver": "gradient", "epochs": 10, "eval_every": 40, "lr": 4e-3}),
    (3_000, {"solver": "closed-form+gradient+closed-form", "epochs": 2, "eval_every": 50, "lr": 3e-3}),
)
SCHEDULE_FIELDS = tuple(_SCHEDULES[0][1])


def schedule_for(pairs: int) -> Mapping[str, Any]:
    """Return solver, epochs, steps between validations and learning rate for a number of training pairs."""
    return next(values for least, values in reversed(_SCHEDULES) if pairs >= least)


_FROM_ENGLISH: Mapping[str, Any] = {"anchor": "frozen", "alignment_weight": 1.0, "image_weight": 0.0}


def _route(name: str, summary: str, text: str, *student: str) -> Recipe:
    loss = "contrastive to the image" + (" + alignment" if len(student) > 1 else "")
    return Recipe(summary, text, student, (IMAGES,), loss, {"route": name}, _ROUTES)


RECIPES = Registry(
    "recipe",
    {
        "baseline1": _route(
            "baseline1", "Captions of the language are trained towards their photographs.", PHOTOGRAPHS, "target"
        ),
        "baseline2": _route(
            "baseline2",
            "Captions that a machine translated into English are trained towards their photographs.",
            BOTH,
            "target_to_english",
        ),
        "method1": _route(
            "method1",
            "Captions of the language are also aligned to English captions of the same photographs.",
            BOTH,
            "target",
            "english",
        ),
        "method2": _route(
            "method2",
            "Captions of the language are also aligned to machine translations of the English captions.",
            BOTH,
            "target",
            "english_to_target",
        ),
        "method3": _route(
            "method3",
            "Captions that a machine translated into English are also aligned to English captions.",
            BOTH,
            "target_to_english",
            "english",
        ),
        "distil": Recipe(
            "Teacher learning: translations are trained towards the frozen embeddings of their English originals.",
            PAIRS,
            ("target",),
            ("english",),
            "mean squared error",
            DISTIL_DEFAULTS,
            _M_CLIP,
        ),
        "both_languages": Recipe(
            "Translations and English originals are both trained towards the frozen embeddings of the originals.",
            PAIRS,
            ("target", "english"),
            ("english",),
            "mean squared error of both",
            _FROM_ENGLISH,
            _REIMERS,
            "BothLanguages",
        ),
        "contrastive_text": Recipe(
            "Each translation is told from the others of its batch by the frozen embedding of its English original.",
            PAIRS,
            ("target",),
            ("english",),
            "contrastive to the English text",
            {**_FROM_ENGLISH, "alignment": "contrastive"},
            _MCLIP,
        ),
        "triangle": Recipe(
            "Contrastive from translations to their English originals, and from captions to photographs.",
            BOTH,
            ("target",),
            ("english", IMAGES),
            "contrastive to the English text + contrastive to the image",
            {**_FROM_ENGLISH, "alignment": "contrastive", "image_weight": 1.0},
            _MCLIP,
        ),
        "relations": Recipe(
            "Similarities of translations to the English texts of a batch are trained towards those of the originals.",
            PAIRS,
            ("target",),
            ("english",),
            "divergence of similarities within a batch + mean squared error",
            _FROM_ENGLISH,
            _CLIP_KD,
            "Relations",
        ),
        "closed_form": Recipe(
            "The linear layer after the pooling is solved by ridge regression on pairs, without gradients.",
            PAIRS,
            ("target",),
            ("english",),
            "ridge regression",
            {**_FROM_ENGLISH, "solver": "closed-form", "adapter": "head:rank=48", "choose": "text"},
        ),
        "centring": Recipe(
            "The mean embedding of the language is moved onto that of English, without gradients.",
            UNPAIRED,
            ("target",),
            (MEMORY,),
            "difference of means",
            {**_FROM_ENGLISH, "solver": "centring", "adapter": "head:rank=1"},
            _LIBOVICKY,
        ),
        "unpaired": Recipe(
            "Texts are trained towards mixtures of the English embeddings that are nearest to them.",
            UNPAIRED,
            ("target",),
            ("target", MEMORY),
            "contrastive to the mixture + cosine distance",
            _FROM_ENGLISH,
            _UCLIP,
            "Unpaired",
        ),
    },
)
