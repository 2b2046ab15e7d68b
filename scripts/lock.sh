#!/usr/bin/env bash
# Write requirements.lock: the versions in .venv of all that running needs, with the hashes of their files.
#
#   bash scripts/lock.sh
#
# Needs uv (pip install uv) and the .venv that the tests have passed in. torch, torchvision and the CUDA libraries that
# they bring are left out: which build is right depends on the machine, and CPU builds come from another index than the
# hashes. scripts/install.sh --locked takes their versions from the head of the lock.
. "$(dirname "$0")/help.sh"
set -euo pipefail
cd "$(dirname "$0")/.."
command -v uv > /dev/null || { echo "uv is needed: pip install uv" >&2; exit 2; }
made=$(mktemp -d)
trap 'rm -r "$made"' EXIT
.venv/bin/python -m pip list --format=freeze --exclude-editable | sed 's/+[a-z0-9.]*$//' > "$made/tested"
uv pip compile requirements.txt --constraint "$made/tested" --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --quiet --output-file "$made/all"
{
    echo "# Made by: bash scripts/lock.sh"
    echo "# Versions that the tests have passed with, for Python 3.11 and newer; not listed, see there:"
    grep -oE '^(torch|torchvision)==[0-9.]+' "$made/all" | sed 's/^/#   /'
    awk '/^[a-z]/ { keep = !/^(torch|torchvision|triton)==|^(nvidia|cuda)-/ } keep' "$made/all"
} > requirements.lock
