#!/usr/bin/env bash
# Install pecl and its test requirements into .venv, check style and types, and run all tests.
#
#   bash scripts/test.sh                    all tests except slow ones, with two workers
#   bash scripts/test.sh -m slow            slow tests
#   PECL_DATA_DIR=... bash scripts/test.sh  also the tests on real data sets (data/README.md)
set -euo pipefail
. "$(dirname "$0")/help.sh"
cd "$(dirname "$0")/.."
bash scripts/install.sh test
echo "== style"
.venv/bin/python -m ruff check .
.venv/bin/python -m ruff format --check --quiet .
echo "== types"
.venv/bin/basedpyright --pythonpath .venv/bin/python
echo "== tests"
[ $# -gt 0 ] || set -- -m "not slow" -n 2 --dist loadfile
OMP_NUM_THREADS=1 .venv/bin/python -m pytest "$@"  # threads of several processes would wait for each other
echo "== all passed; next: bash scripts/quickstart.sh"
