#!/usr/bin/env bash
# Create .venv and install pecl there. quickstart.sh and test.sh call this script. A second call is fast.
#
#   bash scripts/install.sh                pecl and its requirements
#   bash scripts/install.sh test           also the test requirements
#   bash scripts/install.sh search         also the packages of the search page, with torch for the CPU
#   bash scripts/install.sh --locked       the versions in requirements.lock and requirements-torch.lock, and only files
#                                          with the hashes listed there; torch from PyPI, with CUDA on Linux
#   bash scripts/install.sh --locked-cpu   the same, with CPU builds of torch and torchvision from PyTorch's own index,
#                                          by version only: the lock has no checksums for that index
set -euo pipefail
. "$(dirname "$0")/help.sh"
cd "$(dirname "$0")/.."
# Tests compare with OpenDelta. It pins setuptools, so one command installs everything.
extras=
case $* in
    "" | --locked | --locked-cpu) requirements= ;;
    test) requirements="-r requirements-test.txt -r requirements-opendelta.txt" ;;
    search) requirements= extras="[search,serve]" ;;
    *) echo "install.sh: expected nothing, test, search, --locked or --locked-cpu, got \"$*\"" >&2; exit 2 ;;
esac
if [ ! -x .venv/bin/python ]; then
    python=$(command -v python3 || command -v python) || { echo "install.sh: needs Python 3.10 or newer, found none" >&2; exit 2; }
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
        || { echo "install.sh: needs Python 3.10 or newer, found $("$python" --version)" >&2; exit 2; }
    echo "== creating .venv with $("$python" --version)"
    "$python" -m venv .venv
fi
stamp=.venv/pecl-installed${1:+-${1#--}}
wanted=$(cat pyproject.toml setup.py requirements* | cksum)
# Compiling 28,000 files takes a minute; Python compiles those that it imports.
install=".venv/bin/python -m pip install --quiet --no-compile"
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    size=; [ "${1:-}" = search ] && size="about 1.2 GB, "
    echo "== installing pecl$extras${requirements:+ and the test requirements} into .venv (${size}a few minutes the first time)"
    if [[ ${1:-} = --locked* ]]; then
        $install --require-hashes --no-deps -r requirements.lock
        if [ "$1" = --locked ]; then
            $install --require-hashes --no-deps -r requirements-torch.lock
        else
            $install --extra-index-url https://download.pytorch.org/whl/cpu \
                $(grep -oE '^(torch|torchvision)==[0-9.]+' requirements-torch.lock)
        fi
        $install --no-deps -e .
    else
        if [ "${1:-}" = search ] && [ "$(uname)" = Linux ]; then  # PyPI's torch for Linux brings CUDA
            $install --timeout 15 --retries 0 --index-url https://download.pytorch.org/whl/cpu torch torchvision 2>/dev/null \
                || echo "== PyTorch's index of CPU builds does not answer: torch comes from your package index, with CUDA (several GB)"
        fi
        $install -e ".$extras" $requirements
    fi
    echo "$wanted" > "$stamp"
fi
