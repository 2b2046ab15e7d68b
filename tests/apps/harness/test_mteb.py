"""pecl's model and tasks, as mteb itself uses them."""

import pytest
from helpers.layouts import make_xtd10, write_image, write_table

from pecl.errors import ConfigError, DataError


@pytest.fixture(scope="module", autouse=True)
def late_imports():
    """Import mteb where these tests run: it takes seconds, and every worker reads this file."""
    global mteb, mteb_model, mteb_tasks
    mteb = pytest.importorskip("mteb", reason="mteb is not there")
    from pecl.apps.harness import mteb_model, mteb_tasks


def test_the_subset_of_a_task_names_the_language():
    task = mteb.get_tasks(["Multi30kT2IRetrieval"])[0]  # mteb's own; only its metadata are read
    found = {subset: mteb_model.language_of(task.metadata, subset) for subset in task.metadata.hf_subsets}
    assert found == {code: code for code in ("en", "cs", "de", "fr")}
    assert (mteb_model.langscript("jp"), mteb_model.langscript("zh")) == ("jpn-Jpan", "zho-Hans")
    with pytest.raises(ConfigError, match=r"language 'xx': mteb asks for its code and script"):
        mteb_model.langscript("xx")
    for other in mteb.get_tasks(["XM3600T2IRetrieval"])[0].metadata.hf_subsets:
        assert mteb_model.language_of(task.metadata, other + "?") is None


def test_published_tasks_are_read_offline_with_pictures_as_pecl_sees_them(tmp_path):
    root = make_xtd10(tmp_path, images=range(5))
    tasks = mteb_tasks.published_tasks("xtd10", ["de", "es"], data_dir=root)
    assert [task.metadata.name for task in tasks] == ["XTD10T2IRetrieval", "XTD10I2TRetrieval"]
    for task in tasks:
        task.load_data()
    to_image = tasks[0].dataset["de"]["test"]
    data = tasks[0].pairs["de"]
    assert to_image["queries"]["text"][:] == list(data.texts)
    assert len(to_image["corpus"]) == len(data.images)
    seen = to_image["corpus"][0]["image"]
    assert seen.convert("RGB").tobytes() == data.images.load(0).tobytes()
    to_text = tasks[1].dataset["es"]["test"]
    assert to_text["relevant_docs"]["image-0"] == {"text-0": 1}
    tasks[1].load_data()  # which mteb calls before each evaluation
    assert tasks[1].dataset["es"]["test"] is to_text


def test_a_table_gives_its_test_part_and_needs_sound_pictures(tmp_path):
    rows = [{"image": f"{i}.png", "en": f"a {i}", "de": f"ein {i}", "part": "test" if i else "train"} for i in range(3)]
    path = write_table(tmp_path / "parts.csv", rows)
    for row in rows:
        write_image(tmp_path / row["image"])
    task, _ = mteb_tasks.published_tasks(str(path), ["de"])
    task.load_data()
    assert task.dataset["de"]["test"]["queries"]["text"][:] == ["ein 1", "ein 2"]
    assert len(task.dataset["de"]["test"]["corpus"]) == 2
    (tmp_path / "2.png").write_bytes(b"no picture")
    task, _ = mteb_tasks.published_tasks(str(path), ["de"])
    with pytest.raises(DataError, match=rf"cannot read image {tmp_path / '2.png'}"):
        task.load_data()
    text = write_table(tmp_path / "text.csv", [{"en": "a", "de": "b"}])
    with pytest.raises(DataError, match="text has no images here"):
        mteb_tasks.published_tasks(str(text), ["de"])
