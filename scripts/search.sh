#!/usr/bin/env bash
# Search your photographs in a browser: install pecl into .venv, index a folder, start the page and open it.
#
#   bash scripts/search.sh ~/Pictures                        a later call embeds only new photographs
#   bash scripts/search.sh ~/Pictures --languages de,cs      the languages of your queries; asked for if omitted
#   bash scripts/search.sh ~/Pictures --profile mini         small towers, a demonstration: needs no model hub
#   bash scripts/search.sh ~/Pictures --out ~/index --threads 2 --no-words
#   bash scripts/search.sh ~/Pictures --port 8080            all other flags go to `pecl serve`
#
# Without --profile it uses SigLIP 2 (siglip2-b16, 1.5 GB to download) if a model hub answers, otherwise mini. Ctrl-C
# stops it. The first call needs a package index, later calls need no network. Nothing leaves the computer, and nothing
# is written into the folder: the index lies in your data folder, or at --out.
set -euo pipefail
. "$(dirname "$0")/help.sh"
[ -d "${1:-}" ] || { echo "search.sh: expected a folder of photographs, got \"${1:-}\"" >&2; exit 2; }
pictures=$(cd "$1" && pwd)
shift
index=() serve=() languages= profile= place=$pictures
while [ $# -gt 0 ]; do
    case $1 in
        --languages | --out | --threads | --profile)
            [ $# -gt 1 ] || { echo "search.sh: $1: expected a value" >&2; exit 2; }
            [ "$1" = --languages ] && languages=$2
            [ "$1" = --profile ] && profile=$2
            [ "$1" = --out ] && { mkdir -p "$2"; place=$(cd "$2" && pwd); set -- --out "$place" "${@:3}"; }
            index+=("$1" "$2")
            [ "$1" = --threads ] && serve+=("$1" "$2")
            shift 2
            ;;
        --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
        --words | --no-words | --rebuild) index+=("$1"); shift ;;
        *)
            [ -e "$1" ] && set -- "$(realpath "$1")" "${@:2}" # a file, such as a key: `cd` follows
            serve+=("$1")
            shift
            ;;
    esac
done
cd "$(dirname "$0")/.."
bash scripts/install.sh search
python=.venv/bin/python
has_index() { $python -c 'import sys; from pecl.apps.search.index import find_index; find_index(sys.argv[1])' "$place" 2>/dev/null; }
if [ -z "$profile" ] && ! has_index; then
    profile=$($python -c 'from pecl.encoders.loading.hub import recommended_profile; print(recommended_profile())')
    [ "$profile" = mini ] && echo "== no model hub answers: using mini, a demonstration; later: --profile siglip2-b16 --rebuild"
    index+=(--profile "$profile")
fi
if [ -z "$languages" ] && [ -t 0 ] && ! has_index; then
    default=$($python -c 'from pecl.apps.search.languages import system_languages; print(",".join(system_languages()))')
    read -rp "Languages of your queries [$default]: " languages
    index+=(--languages "${languages:-$default}")
fi
$python -m pecl index "$pictures" --thumbnails ${index[@]+"${index[@]}"}
exec $python -m pecl serve --index "$place" --port 0 --open --quiet ${serve[@]+"${serve[@]}"}
