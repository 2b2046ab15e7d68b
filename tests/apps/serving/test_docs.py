"""docs/serving.md and benchmarks/serving.py are true: flags are there, requests are answered, 64 clients are faster."""

import json
import re
import shlex
from importlib.resources import files

from helpers.project import ROOT
from helpers.serving import adapter_files, client_of, data_uri, make_models, make_service, picture, running

from pecl.apps.search.build import build_index
from pecl.cli import build_parser

TEXT = (ROOT / "docs" / "serving.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)


def blocks(kind):
    return [block for name, block in BLOCKS if name == kind]


def test_every_flag_that_is_named_is_there():
    parsers = build_parser(["serve", "index"])._subparsers._group_actions[0].choices
    known = " ".join(parser.format_help() for parser in parsers.values())
    named = set(re.findall(r"--[a-z][a-z-]+", TEXT.replace("serving.py --passes", "")))
    assert {"--adapters-dir", "--window", "--max-waiting"} <= named
    assert {flag for flag in named if flag not in known} == set()


def test_a_request_holds_as_many_texts_and_images_as_is_said():
    numbers = re.search(r"([\d,]+) texts and (\d+) images", TEXT).groups()
    texts, pictures = (int(number.replace(",", "")) for number in numbers)
    uri = data_uri(picture())
    with client_of(make_service()) as client:
        for inputs, limit, what in (
            (["a"] * (texts + 1), texts, "texts"),
            (["a"] * (texts + pictures + 1), texts, "texts"),
            ([uri] * (pictures + 1), pictures, "pictures"),
            (["a"] * texts + [uri] * (pictures + 1), pictures, "pictures"),
        ):
            answer = client.post("/v1/embeddings", json={"model": "tiny", "input": inputs})
            got = len(inputs) if what == "texts" or inputs[0] == uri else pictures + 1
            assert answer.json()["error"]["message"] == f"input: expected at most {limit:,} {what}, got {got:,}"


def test_the_memory_is_what_was_measured():
    rows = json.loads((ROOT / "results" / "server_memory.json").read_text("utf-8"))
    table = TEXT.split("<!-- memory -->\n")[1].split("<!-- end -->")[0].splitlines()[2:]
    assert table == [
        f"| {row['after']} | {row['resident_mb'] / 1000:.1f} | {row['peak_mb'] / 1000:.1f} |" for row in rows
    ]


def test_the_python_example_runs():
    (example,) = blocks("python")
    service = make_service(make_models(adapter_files()[:3] + adapter_files(("cs",)), "mini"))
    with running(service) as address:
        exec(compile(example.replace("http://127.0.0.1:8000", address), "docs/serving.md", "exec"), {})
    labels = {"endpoint": "embeddings", "status": "200"}
    assert service.metrics.registry.get_sample_value("pecl_requests_total", labels) == 2


def test_the_search_is_answered(photographs):
    build_index(photographs)
    (command,) = (block for block in blocks("bash") if block.startswith("curl"))
    body = shlex.split(command.replace("\\\n", " "))[-1]
    with client_of(make_service(make_models(adapter_files(), "mini"), photographs)) as client:
        answer = client.post("/search", json=json.loads(body)).json()
    assert len(answer["photographs"]) == 3
    for field in ("language", "detected", "confidence", "model", "photographs", *answer["photographs"][0]):
        assert f"`{field}`" in TEXT


def test_the_error_is_what_is_said():
    (example,) = blocks("json")
    with client_of(make_service(make_models(adapter_files(("cs",)), "mini"))) as client:
        answer = client.post("/v1/embeddings", json={"model": "mini:sk", "input": "a"})
    assert answer.status_code == 404
    assert answer.json() == json.loads(example)


def test_every_language_of_the_page_has_every_string():
    folder = files("pecl.apps.serving") / "static"
    strings = json.loads((folder / "strings.json").read_text("utf-8"))
    assert list(strings) == ["en", "de", "fr", "cs", "sk", "es", "it", "pl", "tr", "ru", "zh", "jp", "ko", "sw"]
    sources = [(folder / name).read_text("utf-8") for name in ("page.html", "page.js", "results.js", "text.js")]
    used = set(re.findall(r'data-t(?:-\w+)?="(\w+)"|\bt\("(\w+)"', "".join(sources)))
    assert {one or other for one, other in used} == set(strings["en"])
    for own in strings.values():
        assert own.keys() == strings["en"].keys()
        for key, text in own.items():
            forms = text.values() if isinstance(text, dict) else [text]
            english = strings["en"][key]
            wanted = set(re.findall(r"\{\w+\}", english["other"] if isinstance(english, dict) else english))
            assert all(set(re.findall(r"\{\w+\}", form)) == wanted for form in forms), (key, text)
