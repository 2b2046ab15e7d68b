"""The table of languages: every row is whole, and a row is all that a new language needs."""

import json

import pytest
from helpers.small_experiment import write_folder
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES as NLLB

from pecl.cli import main
from pecl.data.registry import DATASETS, load_dataset
from pecl.data.scenes import load_scenes
from pecl.data.translating.mt import language_settings
from pecl.errors import ConfigError, DataError
from pecl.language.languages import (
    LANGUAGES,
    any_language_code,
    find_code,
    find_name,
    language_code,
    language_name,
    register_language,
    shared_code,
)

pytestmark = pytest.mark.usefixtures("registries")


def test_every_language_goes_by_all_of_its_names():
    for code, row in LANGUAGES.items():
        assert row.code == code
        for name in (code, row.name, row.name.upper(), row.endonym, row.flores, row.iso, *row.aliases):
            if name:
                assert language_code(name) == any_language_code(f" {name} ") == code
                assert find_code(code, ["x", name]) == name
    assert len({name for row in LANGUAGES.values() for name in row.names}) == sum(
        len(row.names) for row in LANGUAGES.values()
    ), "no name means two languages"


def test_the_table_agrees_with_other_libraries():
    """lingua's names and codes, and transformers' list of NLLB's, are independent of the table."""
    lingua = pytest.importorskip("lingua")
    for one in lingua.Language.all():
        row = LANGUAGES[language_code(one.iso_code_639_1.name)]
        assert language_code(one.iso_code_639_3.name) == row.code
        assert row.iso == one.iso_code_639_1.name.lower()
    assert {row.flores for row in LANGUAGES.values() if row.flores} == set(NLLB) - {"sat_Beng"}
    for row in LANGUAGES.values():
        assert row.flores is None or row.flores == f"{row.iso3}_{row.script}"
    assert sum(row.pretrained for row in LANGUAGES.values()) == 95  # 100 of CC-100 but for Latin spellings and Zawgyi


NAMES = """swa=sw swh_Latn=sw sw-Latn=sw Kiswahili=sw sr_Cyrl=sr zh-Hans=zh zh-Hant=zh_hant zho_Hant=zh_hant
ger=de fil=tl Español=es no=nb de-AT=de pt_BR=pt zh-tw=zh_hant zh-Hant-HK=zh_hant zh_Hans_SG=zh en_US.UTF-8=en
sr_RS@latin=sr_latn ru_RU.KOI8-R=ru ja_JP.eucJP=jp sr_RS.ISO8859-5@latin=sr_latn
de-CH-1996=de es-419=es de-DE-u-co-phonebk=de"""


@pytest.mark.parametrize(("name", "code"), [pair.split("=") for pair in NAMES.split()])
def test_any_code_or_name_is_read_and_one_is_written(name, code):
    assert language_code(name) == any_language_code(name) == code
    assert find_name(name, LANGUAGES) == code


def test_a_code_that_the_table_lacks_is_kept_where_any_may_be_and_a_name_is_not():
    assert any_language_code(" QXQ ") == "qxq"
    assert language_name("qxq") == "qxq"
    for unknown in ("de_Cyrl", "qxq_Latn", "de-Cyrl-AT", "qxq-AT", "en_to_de", "de.tsv"):  # German is in Latin letters
        with pytest.raises(ConfigError, match=f"^unknown language '{unknown}': "):
            language_code(unknown)
    with pytest.raises(ConfigError, match=r"^unknown language 'Germann': .*did you mean 'German'"):
        any_language_code("Germann")


def test_a_code_of_several_languages_says_which_it_takes():
    assert shared_code("no") == ("no is taken as Norwegian Bokmål (nb), Latn; other codes name nn (Norwegian Nynorsk)")
    assert "zh_hant (Chinese (Traditional))" in shared_code("ZH")
    assert "sr_latn" in shared_code("sr")
    for exact in ("nb", "zho_Hans", "sr_Cyrl", "Swahili", "de", "xx"):
        assert shared_code(exact) is None


def test_a_language_says_whether_searches_detect_it(capsys):
    """lingua names Swahili, a script names Khmer; Tigrinya shares its script, and lingua does not know Cebuano."""
    pytest.importorskip("lingua")
    assert main(["languages", "Swahili", "km", "ti", "ceb", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["code"]: row["detected"] for row in rows} == {"sw": True, "km": True, "ti": False, "ceb": False}
    assert main(["languages", "ti"]) == 0
    assert "named with --language ti or --languages" in capsys.readouterr().out


def add_dutch_column(table):
    """Give a table of captions a column `nl` that repeats the German one."""
    head, *rows = table.read_text("utf-8").splitlines()
    place = head.split(",").index("de")
    lines = [f"{head},nl", *(f"{row},{row.split(',')[place]}" for row in rows)]
    table.write_text("\n".join(lines) + "\n", "utf-8")


def test_a_row_is_all_that_a_language_needs(small, tmp_path, capsys, monkeypatch):
    register_language("nl", "Dutch", flores="nld_Latn", iso="nl", aliases=["Flemish"])
    assert main(["data", "list", "--json", "--data-dir", str(tmp_path)]) == 0
    languages = {row["name"]: row["languages"] for row in json.loads(capsys.readouterr().out)["datasets"]}
    found = [name for name, codes in languages.items() if "nl" in codes]
    assert found == ["xm3600", "flickr30k200", "emoji", "xtd200", "sib200", "ntrex"]
    assert language_name("nl") == "Dutch (nl)"

    add_dutch_column(write_folder(tmp_path))
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in small.items() if name != "language"]
    assert main(["train", *flags, "--language", "Flemish", "--epochs", "1"]) == 0
    (path,) = (tmp_path / "results").glob("*.json")
    result = json.loads(path.read_text("utf-8"))
    assert (result["config"]["language"], result["status"]) == ("nl", "complete")

    out = tmp_path / "refused"
    capsys.readouterr()
    assert main(["train", "--dataset", "scenes", "--language", "nl", "--out", str(out)]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("pecl: scenes has no captions in Dutch (nl): expected one of cs, de, ")
    assert not out.exists()
    with pytest.raises(DataError, match=r"scenes has no captions in Dutch \(nl\): expected one of en, de, "):
        load_scenes("nl", 3)


class NllbTokenizer:
    """As much of NLLB's tokenizer as its languages need."""

    src_lang = None

    def get_vocab(self):
        return {"eng_Latn": 7, "nld_Latn": 8}


def test_models_that_translate_are_told_a_new_language_by_its_code_or_refuse_it():
    register_language("nl", "Dutch", flores="nld_Latn")
    register_language("tlh", "Klingon")
    tokenizer = NllbTokenizer()
    assert language_settings(tokenizer, "en", "nl").first_token_id == 8
    assert tokenizer.src_lang == "eng_Latn"
    with pytest.raises(ConfigError, match=r"^Klingon \(tlh\) has no code for this family of models: name it with"):
        language_settings(tokenizer, "tlh", "en")
    with pytest.raises(
        DataError, match=r"flickr30k200 has no captions in Klingon .*: expected one of 201 languages; `pecl"
    ):
        load_dataset("flickr30k200", "Klingon")
    assert "tlh" not in DATASETS["flickr30k200"].languages


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"code": "Dutch"}, r"language 'Dutch': code: expected two or three small letters.*, got 'Dutch'"),
        ({"flores": "nld"}, r"language 'nl': flores: expected a FLORES-200 code such as nld_Latn, got 'nld'"),
        ({"name": " "}, r"language 'nl': name: expected its English name, such as Dutch, got ' '"),
        ({"iso": "nld"}, r"language 'nl': iso: expected an ISO 639-1 code such as nl, got 'nld'"),
        ({"code": "ja", "name": "Klingon"}, r"language 'ja': 'ja' is registered already, for Japanese \(jp\)"),
        ({"flores": "ces_Latn"}, r"'ces' is registered already, for Czech \(cs\)"),
    ],
)
def test_a_row_that_is_unfit_or_taken_is_refused_and_changes_nothing(row, message):
    before = dict(LANGUAGES)
    row = {"code": "nl", "name": "Dutch"} | row
    with pytest.raises(ConfigError, match=message):
        register_language(row.pop("code"), row.pop("name"), **row)
    assert before == LANGUAGES
