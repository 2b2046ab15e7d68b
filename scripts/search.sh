#!/usr/bin/env bash
# Search your photographs in a browser: install pecl into .venv, index a folder, start the page and open it.
#
#   bash scripts/search.sh ~/Pictures                a later call embeds only new photographs
#   bash scripts/search.sh ~/Pictures --port 8080    with flags of `pecl serve`
#
# Ctrl-C stops it. The first call needs a package index, later ones no network. Nothing leaves the computer; the index lies in
# a hidden folder next to the photographs.
set -euo pipefail
. "$(dirname "$0")/help.sh"
[ -d "${1:-}" ] || { echo "search.sh: expected a folder of photographs, got \"${1:-}\"" >&2; exit 2; }
pictures=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/.."
bash scripts/install.sh search
echo "== indexing $pictures (the time left is behind <)"
.venv/bin/pecl index "$pictures" --thumbnails
echo "== starting the page; Ctrl-C stops it"
exec .venv/bin/pecl serve --index "$pictures" --port 0 --open "$@"
