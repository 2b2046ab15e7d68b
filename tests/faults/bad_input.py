"""The table of bad input: a command line, and what the one sentence on standard error says. The exit status is 2.

One row per class of error.

Paths are those of `helpers.playground`, which is the current folder.
"""

SMALL = "--dataset captions.csv --shots 6 --epochs 1 --batch-size 3 --eval-every 2 --rank 2 --out out"
DISTIL = "--dataset captions.csv --text text.tsv --shots 6 --held-out 12 --adapter lora:r=2+head:rank=3 --out out"
TRANSLATE = "translate captions.csv --source en --target de --model m"

# What is wrong with a value is said by the config, whichever command is given it
VALUES = [
    ("--profile minni", r"unknown profile 'minni': expected one of .*; did you mean 'mini'\?"),
    ("--text-model ./nowhere", "nowhere"),
    ("--dataset captoins", r"unknown data set 'captoins'"),
    ("--dataset xtd10", "data set 'xtd10' needs the folder data/xtd10"),
    ("--dataset nowhere.csv", "table of captions nowhere.csv is missing"),
    ("--dataset ''", "data set ''"),
    ("--dataset empty", r"empty must hold one table captions\{.*found none"),
    ("--dataset other-names.csv", "other-names.csv, line 1: there is no column of captions, such as en or de"),
    ("--dataset no-english.csv --gallery english", "has no English captions .*, which --gallery english needs: l"),
    ("--dataset twice.csv", "twice.csv, line 1, field 'en': column appears twice"),
    ("--dataset no-german.csv", "no-german.csv has no column 'de': it has image, en, fr"),
    ("--out ''", "out: expected a path, got an empty text"),
    ("--config nowhere.yaml", "cannot read config nowhere.yaml: No such file"),
    ("--dataset short-row.csv", "short-row.csv, line 10: 2 fields, expected 3"),
    ("--dataset missing-image.csv", "nowhere.png|broken.png"),
    ("--dataset not.jsonl", "not.jsonl, line 1: not JSON"),
    ("--dataset number.jsonl", "number.jsonl, line 1, field 'de': expected text, got int"),
    ("--dataset not.parquet", "cannot read not.parquet as parquet"),
    ("--split test", "a table of captions has no splits"),
    ("--language x1", "unknown language 'x1'"),
    ("--language de,German", "language: expected each once, got de twice: de,de"),
    ("--route metod1", "unknown route 'metod1': expected one of baseline1, .*did you mean 'method1'"),
    ("--device gpu", "device: expected an available one, such as cpu,"),
    ("--threads 0", 'threads: expected a whole number >= 1 or "none", got 0'),
    ("--out file", "cannot write into file: .*file is a file, expected a folder"),
    ("--out /proc/nowhere", "cannot write"),
    ("--config twice.yaml", "twice.yaml, line 2: key 'lr' twice, expected once"),
    ("--config not.yaml", "not.yaml, line 2: expected YAML"),
    ("--speed 9", r"unrecognized arguments: --speed 9.*see pecl \w+ --help"),
    ("--language", "argument --language: expected one argument"),
]

TRAIN = [
    ("--seed 18446744073709551616", "seed: expected a whole number from 0 to 4611686018427387904, got 18446744"),
    ("--lr nan", "lr: expected a number >= 0, got nan"),
    ("--dataset broken-image.csv --shots 2", "broken.png"),
    ("--dataset no-english.csv --shots 2", "route method1 needs: choose --route baseline1; or make them with"),
    ("--dataset train-only.csv --shots 2", "has no caption in its (val|test) part"),
    ("--adapter-layers top-99", 'lora: layers: expected top-1 to top-2 in the text tower .*, got "top-99"'),
    ("--precision bf16 --adapter full --rank none", "full: expected the precision fp32"),
    ("--train-size 9", "--train-size: expected translated text with it"),
    ("--clean", "clean: expected translated text with it, such as --text captions.tsv"),
    ("--joint de", "joint: expected two languages or more"),
]

DISTILLATION = [
    ("--text nowhere", 'text: expected multi30k-translations, .*, a table .* or two aligned .*got "nowhere"'),
    ("--text text.tsv,text.tsv", 'text: expected each source once, got "text.tsv" twice'),
    ("--text no-german.csv", "text: no-german.csv: expected a column de .*got image, en, fr"),
    ("--text three.en=two.de", "text: three.en has 3 lines and two.de has 2: aligned files must have the same"),
    ("--text empty-field.csv --no-clean", "text: empty-field.csv: 1 of 9 pairs have an empty side, first pair 9: drop"),
    ("--solver closedform", 'solver: expected one of centring, closed-form, gradient.*got "closedform"'),
    ("--start truncated.safetensors", "truncated.safetensors is damaged or no safetensors file"),
    ("--adapter lora+head --start sound.safetensors", 'start: expected an adapter "lora.*head", got sound.*with "lora'),
    ("--route method2", "route method2: expected data with .*, which text does not have"),
    ("--train-on flickr30k200", "--text: expected none with --train-on flickr30k200"),
    ("--alignment mse:0", 'alignment: expected a weight > 0 after the colon, such as "mse:0.1"'),
]

EVALUATE = [
    ("--correct-hubs", "--correct-hubs: no reference captions are known for .*, expected the profile mini"),
    ("--correct-hubs --harness mteb", "--harness: expected no --correct-hubs with it"),
    ("--adapter other.safetensors", "other.safetensors: expected an adapter file of pecl, got another"),
    ("--adapter captions.csv", "checkpoint captions.csv: expected a state dict that can be read safely"),
]

GRID = [
    ("--threads 1,2", "threads: expected one value"),
    ("--config empty-list.yaml", "lr: an empty list"),
    ("--launcher inline --jobs 2", "launcher inline runs one job at a time"),
    ("--devices cuda:0,cpu", "devices: expected GPUs such as cuda:0,cuda:1, or cpu,cpu, got cuda:0,cpu"),
    ("--devices cpu,cpu --device cuda", "device: expected cpu with --devices cpu,cpu, got cuda"),
    ("--slurm partition=gpu", "--slurm is for the launcher slurm"),
    ("--best-of nowhere", "results folder nowhere does not exist"),
    ("--best-of failed-only", "--best-of failed-only: expected a folder with complete trainings; run"),
]

REPORT = [
    ("without-checksum", "is damaged: it has no checksum"),
    ("without-config", "without-config/.*is not a result of pecl"),
    ("results --format pdf", "argument --format: invalid choice: 'pdf'"),
    ("results --table adapters", "needs trainings of two adapters on one gallery"),
    ("results --where speed=9", "--where: unknown key 'speed'"),
    ("results --html page --gallery-captions -1", "argument --gallery-captions"),
]

ADAPTERS = [
    ("", "adapters: the following arguments are required: ACTION"),
    ("list empty", "empty holds no adapter files"),
    ("convert text.ckpt de.safetensors --language de", "text.ckpt"),
    ("convert sound.safetensors file", "file exists already"),
    ("push empty published", "empty holds no complete training with its adapter"),
    ("pull 'a b/c' here", "'a b/c' is neither a folder nor a hub id"),
    ("pull a/b here", "cannot fetch a/b from .*: copy models--a--b from the cache"),
]

EXPORT = [
    ("sentence-transformers x --adapter sound.safetensors --adapter-only", "adapter-only: expected --adapter ADAPTER"),
    ("sentence-transformers x --adapter sound.safetensors --adapter-only --base ./nowhere", "no folder ./nowhere"),
    ("sentence-transformers x --base empty", "--base: expected --adapter-only with it"),
    ("sentence-transformers x", "image tower colours cannot be written for sentence-transformers: .*--text-only"),
    ("onnx x --slots", "--slots: expected --adapter ADAPTER, once per language"),
    ("peft x --adapter sound.safetensors --base file", "there is no folder file: expected the folder of a checkpoint"),
]

DATA = [
    ("download xtd10 --base-url ftp://x", r"expected an address https://\.\.\., got ftp://x"),
    ("check xtd11", "no file 'xtd11', and .*did you mean 'xtd10'"),
    (TRANSLATE, "--out: expected a file for the translations of a"),
    ("translate nowhere.csv --source en --target de --model m --out o.csv", "no file 'nowhere.csv'"),
    ("translate lines.txt --source en --target de --model m --out o.txt", "lines.txt, line 2: empty caption"),
    ("translate lines.txt --source en --target de --model m --out o.gz", "o.gz: captions are written as plain text"),
    ("translate xtd10 --source fr --target de --model m", "expected English as --source or --target"),
]

SERVE = [
    ("--port 65536", 'port: expected a whole number from 0 to 65535, got "65536"'),
    ("--window nan", "window: expected a number from 0 to 1, got nan"),
    ("--adapter empty --port 0", "cannot read adapter file empty: Is a directory"),
    ("--index nowhere --port 0", "nowhere: expected an index, or a folder of photographs with one, found no folder"),
    ("--host no.such.host.invalid", 'cannot listen on "no.such.host.invalid" port 8000'),
]

SCRIPTS = [  # (variables and script, what it says)
    *(
        (f"PECL_PROFILE=minni bash scripts/{name}.sh", 'PECL_PROFILE: expected one of clip-b32-mult.*, got "minni"')
        for name in ("zero_shot", "all", "grid")
    ),
    ("PECL_PROFILE= bash scripts/grid_method1/de.sh --lr x", 'lr: expected a number >= 0, got "x"'),
    ("bash scripts/grid.sh", "usage: bash scripts/grid.sh ROUTE LANGUAGE"),
    ("bash scripts/install.sh tests", 'install.sh: expected nothing, test, search, --locked or .*, got "tests"'),
    ("bash scripts/search.sh nowhere", 'search.sh: expected a folder of photographs, got "nowhere"'),
    ("bash scripts/quickstart.sh --language de", 'quickstart.sh: expected no arguments, got "--language"'),
]

INDEX = [
    ("empty", "empty: there are no photographs in it: expected files named .jpg"),
    ("pictures --out /proc/nowhere", "cannot write|No such file"),
    ("pictures --url http://localhost:6333", "--url: expected it only with --engine qdrant"),
    ("pictures --out index", "is the index of .*indexed, got .*pictures: name another one with --out"),
    ("indexed --profile paper", "--profile: .*indexed-[0-9a-f]* has mini, got paper: leave it out, or make"),
]

SEARCH = [
    ("", "expected an INDEX, or --embeddings FILE"),
    ("indexed", "search: expected a TEXT, or an image with --image"),
    ("indexed ''", "text: expected words in UTF-8, got ''"),
    ("indexed --image nowhere.png", "cannot read image nowhere.png"),
    ("indexed dog --adapter text.safetensors", "text.safetensors"),
    ("indexed dog --html empty", "--html: expected a file to write, got the folder empty"),
]

EMBED = [
    ("empty --out o", "empty holds no images"),
    ("lines.txt --out o", "lines.txt, line 2: empty, expected a text on every line"),
    ("empty --kind texts --out o", "empty: expected a file of lines, a table or a data set for texts, got a folder"),
    ("text-only.csv --kind images --out o", "has no images here"),
]
PECL = [
    ("--speed", "required: COMMAND|unrecognized"),
    ("-v", "required: COMMAND"),
]

# `data check` prints what is wrong with a table on standard output, and nothing on standard error
CHECKED = ["no-rows.csv", "no-header.csv", "short-row.csv", "broken-image.csv", "wrong-part.csv", "number.jsonl"]


def rows() -> list[tuple[str, str]]:
    """Return (command line, pattern) of each row."""
    training = [(f"train {SMALL} {flags}", said) for flags, said in (*VALUES, *TRAIN)]
    distillation = [(f"distil {DISTIL} {flags}", said) for flags, said in DISTILLATION]
    without_text = ("distil --dataset captions.csv --out out", "text: expected sources of translated text, such as")
    evaluation = [(f"evaluate --dataset captions.csv --out out {flags}", said) for flags, said in EVALUATE]
    grid = [(f"grid {SMALL} {flags}", said) for flags, said in GRID]
    others = {"report": REPORT, "adapters": ADAPTERS, "export": EXPORT, "data": DATA, "index": INDEX}
    others |= {"search": SEARCH, "serve": SERVE, "embed": EMBED}
    rest = [(f"{command} {flags}", said) for command, table in others.items() for flags, said in table]
    return [*training, *distillation, without_text, *evaluation, *grid, *rest, *PECL]
