"""Data sets that users register: what their readers are given, and what is refused."""

import pytest
from helpers.layouts import write_image

import pecl
from pecl.config import make_config
from pecl.data.captions import ParallelCaptions
from pecl.data.registry import DATASETS, load_dataset, register_dataset
from pecl.data.request import DataRequest
from pecl.errors import ConfigError, DataError
from pecl.experiment.inputs import load_captions
from pecl.files.images import ImageFiles

pytestmark = pytest.mark.usefixtures("registries")
TEXTS = ("a", "b", "c")


@pytest.fixture
def asked(tmp_path):
    """Register `birds`, three captions with images of which the second is missing; return what its reader is given."""
    asked = []
    for name in ("0.png", "2.png"):
        write_image(tmp_path / name)

    @register_dataset("birds")
    def read(request):
        asked.append(request)
        images = ImageFiles(tuple(tmp_path / f"{i}.png" for i in range(3)))
        return ParallelCaptions("birds", request.language, TEXTS, TEXTS, english_to_target=TEXTS, images=images)

    return asked


def test_the_reader_is_given_the_whole_request_of_a_config(asked, tmp_path):
    (tmp_path / "2.png").write_text("no image")
    values = {"dataset": "birds", "language": "ja", "skip_unreadable": True, "allow_copied_translations": True}
    captions = load_captions(make_config(values), ["english_to_target"])
    assert captions.target == ("a",)
    assert captions.provenance["images"] == {"total": 3, "kept": 1, "left_out": 2, "damaged": 1}
    assert asked == [
        DataRequest(
            "birds",
            "jp",
            need=("english_to_target",),
            skip_unreadable=True,
            allow_copied_translations=True,
        )
    ]


def test_every_option_of_load_dataset_reaches_the_reader(asked):
    load_dataset("birds", "de", need="english_to_target", allow_copied_translations=True, text_only=True)
    load_dataset("birds", "de", allow_missing_images=True)
    expected = {"need": ("english_to_target",), "allow_copied_translations": True, "text_only": True}
    assert asked == [DataRequest("birds", "de", **expected), DataRequest("birds", "de", allow_missing_images=True)]


def test_images_are_looked_for_and_left_out_for_every_reader(asked):
    with pytest.raises(DataError, match=r"birds: 1 of 3 images are missing from .*\(1\.png\)"):
        load_dataset("birds", "de")
    assert load_dataset("birds", "de", allow_missing_images=True).target == ("a", "c")
    text = load_dataset("birds", "de", text_only=True)
    assert (text.images, text.image_index, len(text)) == (None, None, 3)


def test_translations_that_a_reader_does_not_give_are_named(asked):
    with pytest.raises(DataError, match="'birds' has no target to english translations of 'de': choose a route that"):
        load_dataset("birds", "de", need=["target_to_english"], text_only=True)


def test_a_reader_that_returns_something_else_is_named():
    register_dataset("birds", lambda request: ["a robin"])
    with pytest.raises(DataError, match="reader of data set 'birds': expected it to return ParallelCaptions, got list"):
        load_dataset("birds", "de")


def test_a_registered_data_set_has_its_languages_or_all():
    def reader(request):
        return ParallelCaptions(request.dataset, request.language, TEXTS, TEXTS)

    assert register_dataset("birds", reader, languages=["German", "ja"]) is reader
    assert DATASETS["birds"].languages == ("de", "jp")
    with pytest.raises(DataError, match=r"birds has no captions in French .*: expected one of de, jp"):
        load_dataset("birds", "fr")
    register_dataset("trees", reader)
    pecl.register_language("nl", "Dutch")
    assert load_dataset("trees", "Dutch").language == "nl"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("scenes", len), DataError, "data set 'scenes' is registered already: choose another name"),
        (("my/birds", len), DataError, "expected small letters, digits, - and _, such as my-birds, got 'my/birds'"),
        (("birds.csv", len), DataError, "got 'birds.csv'"),
        ((None, len), DataError, "got None"),
        (("birds", "a reader"), DataError, "expected a function of a DataRequest, got 'a reader'"),
        (("birds", len, ["klingon"]), ConfigError, "unknown language 'klingon'"),
    ],
)
def test_what_cannot_be_registered_is_said_in_a_sentence(arguments, error, message):
    before = dict(DATASETS)
    name, reader, *languages = arguments
    with pytest.raises(error, match=message):
        register_dataset(name, reader, languages=languages[0] if languages else None)
    assert before == DATASETS


def test_a_name_is_registered_once(asked):
    with pytest.raises(DataError, match="data set 'birds' is registered already"):
        register_dataset("birds", len)
