# Shared by the scripts, which source it: change to the checkout, find its Python, set the profile's values.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/help.sh"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$([ -x .venv/bin/python ] && echo .venv/bin/python || command -v python3)
profile=${PECL_PROFILE:-mini}
case $profile in
    mini | paper) ;;  # known without asking, which takes half a second
    *)
        profiles=$("$python" -m pecl towers list --json \
            | "$python" -c 'import json, sys; print(*sorted(tower["name"] for tower in json.load(sys.stdin)))')
        case " $profiles " in
            *" $profile "*) ;;
            *)
                echo "PECL_PROFILE: expected one of ${profiles// /, }, got \"$profile\"" >&2
                exit 2
                ;;
        esac
        ;;
esac
languages=de,es,fr,it,jp,ko,pl,ru,tr,zh
[ "$profile" = mini ] && languages=de,fr,cs
grid_config=configs/grid_$profile.yaml
[ -f "$grid_config" ] || grid_config=configs/grid_paper.yaml # the other pairs use the paper's grid

pecl() { "$python" -m pecl "$@"; }

# out_of FOLDER [flags]: print the folder of the last --out, or FOLDER without one
out_of() {
    local out=$1
    shift
    while [ $# -gt 0 ]; do
        case $1 in
            --out=*) out=${1#--out=} ;;
            --out) out=${2-$out} ;;
        esac
        shift
    done
    printf '%s\n' "$out"
}

# report FOLDER [flags of the grid]: print the tables of the grid's folder, except after a dry run
report() {
    case " $* " in *" --dry"*) return ;; esac
    pecl report "$(out_of "$@")"
}
