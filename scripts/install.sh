#!/usr/bin/env bash
# Make .venv and install pecl there; quickstart.sh and test.sh call it. Repeating it is quick: what is there stays.
#
#   bash scripts/install.sh          what running needs
#   bash scripts/install.sh test     and what testing needs
#   bash scripts/install.sh --locked the versions in requirements.lock and requirements-torch.lock, and only files with
#                                    the hashes there; torch is PyPI's, on Linux with CUDA
#   bash scripts/install.sh --locked-cpu   the same, but a CPU build of torch and torchvision from PyTorch's own index,
#                                    by version alone: the lock has no checksums of that index
set -euo pipefail
. "$(dirname "$0")/help.sh"
cd "$(dirname "$0")/.."
# OpenDelta is a reference of the tests; it pins setuptools, so all are installed in one command.
case ${1:-} in
    "" | --locked | --locked-cpu) requirements= ;;
    test) requirements="-r requirements-test.txt -r requirements-opendelta.txt" ;;
    *) echo "install.sh: expected nothing, test, --locked or --locked-cpu, got \"$1\"" >&2; exit 2 ;;
esac
if [ ! -x .venv/bin/python ]; then
    python=$(command -v python3 || command -v python) || { echo "Python 3.10 or newer is needed" >&2; exit 2; }
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
        || { echo "Python 3.10 or newer is needed, $("$python" --version) found" >&2; exit 2; }
    echo "== making .venv with $("$python" --version)"
    "$python" -m venv .venv
fi
stamp=.venv/pecl-installed${1:+-${1#--}}
wanted=$(cat pyproject.toml setup.py requirements* | cksum)
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "== installing pecl${requirements:+ and what testing needs} into .venv (a few minutes the first time)"
    if [[ ${1:-} = --locked* ]]; then
        .venv/bin/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
        if [ "$1" = --locked ]; then
            .venv/bin/python -m pip install --quiet --require-hashes --no-deps -r requirements-torch.lock
        else
            .venv/bin/python -m pip install --quiet --extra-index-url https://download.pytorch.org/whl/cpu \
                $(grep -oE '^(torch|torchvision)==[0-9.]+' requirements-torch.lock)
        fi
        .venv/bin/python -m pip install --quiet --no-deps -e .
    else
        .venv/bin/python -m pip install --quiet -e . $requirements
    fi
    echo "$wanted" > "$stamp"
fi
