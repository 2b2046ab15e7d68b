#!/usr/bin/env bash
# Install pecl and its test requirements into .venv, check style and types, and run the tests.
#
#   bash scripts/test.sh                    what CI runs: all tests except slow ones, with two workers
#   bash scripts/test.sh --all              also slow ones: kills, fuzzing, browsers, wheels and all commands of the documents;
#                                           before a merge, and weekly
#   bash scripts/test.sh -m slow            arguments for pytest in place of the default ones
#   PECL_DATA_DIR=... bash scripts/test.sh  also the tests on real data sets (data/README.md)
set -euo pipefail
. "$(dirname "$0")/help.sh"
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE  # otherwise each process of a test compiles its packages again
bash scripts/install.sh test
echo "== style"
.venv/bin/python -m ruff check .
.venv/bin/python -m ruff format --check --quiet .
echo "== types"
.venv/bin/basedpyright --pythonpath .venv/bin/python
echo "== tests"
case ${1:-} in
    "") set -- -m "not slow" -n 2 --dist loadfile ;;
    --all) shift; set -- -n 2 --dist loadfile "$@" ;;
esac
OMP_NUM_THREADS=1 .venv/bin/python -m pytest "$@"  # several threads per worker would slow each other down
echo "== all passed; next: bash scripts/quickstart.sh"
