"""`load_dataset` for every name and for data sets that users register; the sentences for what is wrong."""

import pytest
from helpers.layouts import make_multi30k, make_xtd10, write_image

import pecl
from pecl.config import make_config
from pecl.data.captions import ParallelCaptions
from pecl.data.reading import DataRequest
from pecl.data.registry import DATASETS, load_dataset, register_dataset
from pecl.errors import ConfigError, DataError
from pecl.experiment.loading import load_captions
from pecl.files.images import ImageFiles


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """Multi30K and XTD10, and no PECL_DATA_DIR."""
    monkeypatch.delenv("PECL_DATA_DIR", raising=False)
    make_multi30k(tmp_path, n=2)
    return make_xtd10(tmp_path)


def test_the_argument_goes_before_the_environment_before_the_default(data_dir, monkeypatch, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    with pytest.raises(DataError, match=r"needs the folder data/xtd10, which is missing.*data_dir or PECL_DATA_DIR"):
        load_dataset("xtd10", "de")
    make_xtd10(elsewhere / "data", n=1)
    assert len(load_dataset("xtd10", "de")) == 1
    make_xtd10(elsewhere / "environment", n=2)
    monkeypatch.setenv("PECL_DATA_DIR", str(elsewhere / "environment"))
    assert len(load_dataset("xtd10", "de")) == 2
    assert len(load_dataset("xtd10", "de", data_dir=data_dir)) == 5
    monkeypatch.setenv("HOME", str(elsewhere))
    monkeypatch.setenv("PECL_DATA_DIR", "~/environment")
    assert len(load_dataset("xtd10", "de")) == 2


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("multi30k-2k", {}, DataError, r"unknown data set 'multi30k-2k'.*did you mean 'multi30k-1k'\? \(or the path"),
        ("xtd10", {"language": "cs"}, DataError, "xtd10 has no captions in Czech .*; it is in multi30k-1k, "),
        ("multi30k", {"need": ["target"]}, ConfigError, "unknown translation direction 'target'"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(data_dir, name, arguments, error, message):
    with pytest.raises(error, match=message):
        load_dataset(name, **{"language": "de", "data_dir": data_dir, **arguments})


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
        DataRequest("birds", "jp", need=("english_to_target",), skip_unreadable=True, allow_copied_translations=True)
    ]


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
