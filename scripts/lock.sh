#!/usr/bin/env bash
# Write requirements.lock and requirements-torch.lock: the versions in .venv of all that running needs, with the hashes
# of their files.
#
#   bash scripts/lock.sh
#
# Needs uv (pip install uv) and the .venv that the tests have passed in. torch, torchvision and the CUDA libraries that
# they bring are in a file of their own, with the hashes of PyPI's builds: CPU builds of the same version are other files,
# of PyTorch's own index. scripts/install.sh --locked takes both files.
. "$(dirname "$0")/help.sh"
set -euo pipefail
cd "$(dirname "$0")/.."
command -v uv > /dev/null || { echo "uv is needed: pip install uv" >&2; exit 2; }
made=$(mktemp -d)
trap 'rm -r "$made"' EXIT
.venv/bin/python -m pip list --format=freeze --exclude-editable | sed 's/+[a-z0-9.]*$//' > "$made/tested"
uv pip compile requirements.txt --constraint "$made/tested" --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --quiet --output-file "$made/all"
write() { # FILE KEEP: the packages whose name matches /^(torch|...)/, or all others where KEEP is 0
    {
        echo "# Made by: bash scripts/lock.sh"
        echo "# Versions that the tests have passed with, for Python 3.11 and newer."
        awk -v keep="$2" '/^[a-z]/ { is_torch = /^(torch|torchvision|triton)==|^(nvidia|cuda)-/ } is_torch == keep' "$made/all"
    } > "$1"
}
write requirements.lock 0
write requirements-torch.lock 1
