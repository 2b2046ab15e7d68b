"""The files of data sets that can be downloaded, with addresses and SHA-256."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from pecl.data.captions import read_captions
from pecl.data.published.translated import OWNERS_CODES, SPLITS
from pecl.data.reading import coco_split
from pecl.errors import DataError, unknown
from pecl.files import load_json
from pecl.languages import flores_languages

COCO_IMAGES = "https://s3.amazonaws.com/images.cocodataset.org"  # the name itself has no certificate of its own


@dataclass(frozen=True)
class RemoteFile:
    """One file to fetch, and its path relative to the data directory, with forward slashes."""

    path: str
    url: str
    sha256: str | None = None  # None where it is not known: a photograph must decode then, and text be UTF-8

    @property
    def is_text(self) -> bool:
        """Whether it is text, not a photograph."""
        return PurePosixPath(self.path).suffix.lower() not in (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Download:
    """One row of the table of downloads; its name is also its folder in the data directory."""

    description: str
    base_url: str
    checksums: Mapping[str, Mapping[str, str | None]]  # folder, relative to `base_url` -> file name -> SHA-256
    note: str = ""  # remaining steps for the user, with `{folder}` for the data set's folder


_MULTI30K_NOTE = (
    "The images are not ours to pass on. Ask for Flickr30k's at https://forms.illinois.edu/sec/229675 (research "
    "only); those of test_2017_flickr and test_2018_flickr are linked from https://github.com/multi30k/dataset, those "
    "of test_2017_mscoco are COCO's val2014. Put them into {folder}/images under the names in "
    "{folder}/data/task1/image_splits."
)

_NLLB_CLIP = "https://raw.githubusercontent.com/visheratin/nllb-clip/HEAD/data"
# data set -> folder in the owner's repository -> file -> SHA-256
_CHECKSUMS = load_json(Path(__file__).with_name("checksums.json"))

DOWNLOADS: dict[str, Download] = {
    "xtd10": Download(
        "captions in 11 languages, and their 1,000 images from COCO",
        "https://raw.githubusercontent.com/adobe-research/Cross-lingual-Test-Dataset-XTD10/HEAD",
        _CHECKSUMS["xtd10"],
    ),
    "multi30k": Download(
        "captions of tasks 1 and 2, without images",
        "https://raw.githubusercontent.com/multi30k/dataset/HEAD",
        _CHECKSUMS["multi30k"],
        _MULTI30K_NOTE,
    ),
    "pectvlm": Download(
        "machine translations of XTD10 and Multi30K, both ways",
        "https://raw.githubusercontent.com/eric-ai-lab/PECTVLM/HEAD",
        _CHECKSUMS["pectvlm"],
        "The released Korean translations from English of XTD10 are a copy of the Italian ones; "
        "`python -m pecl data translate xtd10 --source en --target ko --overwrite --model <model>` makes new ones.",
    ),
    "flickr30k200": Download(
        "captions of Flickr30k in 201 languages, to train on", f"{_NLLB_CLIP}/flickr30k-200", _CHECKSUMS["flickr30k200"]
    ),
    "emoji": Download(
        "names and keywords of emoji in 111 languages, to train on",
        "https://cdn.jsdelivr.net/npm/cldr-annotations-full@48.2.0/annotations",
        _CHECKSUMS["emoji"],
    ),
    "sib200": Download(
        "sentences of Wikinews, Wikibooks and Wikivoyage in 202 languages, by people",
        "https://raw.githubusercontent.com/dadelani/sib-200/HEAD",
        {
            f"data/annotated/{code}": {f"{split}.tsv": _CHECKSUMS["sib200"].get(f"{code}/{split}") for split in SPLITS}
            for code in flores_languages().values()
        },
    ),
    "ntrex": Download(
        "sentences of news in 117 languages, by people",
        "https://raw.githubusercontent.com/MicrosoftTranslator/NTREX/HEAD",
        {
            "NTREX-128": dict.fromkeys(
                [
                    "newstest2019-src.eng.txt",
                    *(f"newstest2019-ref.{code}.txt" for code in OWNERS_CODES["ntrex"].values()),
                ]
            )
        },
    ),
    "gatitos": Download(
        "words and short phrases in 171 languages, by people",
        "https://raw.githubusercontent.com/google-research/url-nlp/HEAD",
        {"gatitos": dict.fromkeys(f"en_{code}.tsv" for code in OWNERS_CODES["gatitos"].values())},
        "The owner has removed the folder from newer commits: take an earlier one, and copy it to {folder}/gatitos.",
    ),
    "seed": Download(
        "sentences of Wikipedia in 39 languages, by people",
        "https://raw.githubusercontent.com/openlanguagedata/seed/HEAD",
        {"seed": dict.fromkeys(["eng_Latn", *OWNERS_CODES["seed"].values()])},
    ),
    "xtd200": Download("XTD10's captions in 201 languages, to test on", f"{_NLLB_CLIP}/xtd200", _CHECKSUMS["xtd200"]),
}


def caption_files(name: str, mirror: str | None = None) -> list[RemoteFile]:
    """Return the text files of the download `name`, from its owner or from a mirror (see `_url`)."""
    if name not in DOWNLOADS:
        raise DataError(unknown("download", name, DOWNLOADS))
    row, files = DOWNLOADS[name], []
    for folder, checksums in row.checksums.items():
        for file_name, sha256 in checksums.items():
            inner = (PurePosixPath(folder) / file_name).as_posix()
            path = f"{name}/{inner}"
            files.append(RemoteFile(path, _url(f"{row.base_url}/{inner}", path, mirror), sha256))
    return files


def xtd10_images(data_dir: Path, mirror: str | None = None) -> list[RemoteFile]:
    """Return the 1,000 images that XTD10's list names, each on its own: COCO's archives are 19 GB."""
    names_file = data_dir / "xtd10" / "XTD10" / "test_image_names.txt"
    files = []
    for number, name in enumerate(read_captions(names_file), 1):
        split = coco_split(name)
        if split not in ("train2014", "val2014") or PurePosixPath(name).name != name:
            raise DataError(f"{names_file}, line {number}: expected a COCO train2014 or val2014 image, got {name!r}")
        path = f"xtd10/images/{name}"
        files.append(RemoteFile(path, _url(f"{COCO_IMAGES}/{split}/{name}", path, mirror)))
    return files


def _url(owner_url: str, path: str, mirror: str | None) -> str:
    """Return the owner's address or, for a mirror, that of the same path: a mirror is laid out as a data directory."""
    return owner_url if mirror is None else f"{mirror.rstrip('/')}/{quote(path)}"
