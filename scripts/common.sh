# Shared by the scripts, which source it: change to the checkout, find its Python, set the profile's values.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/help.sh"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$([ -x .venv/bin/python ] && echo .venv/bin/python || command -v python3)
profile=${PECL_PROFILE:-mini}
case $profile in
    mini) languages=de,fr,cs ;;
    paper | vit-b-32 | vit-b-16-plus | labse) languages=de,es,fr,it,jp,ko,pl,ru,tr,zh ;;
    clip-b32-multilingual | xlm-r-* | siglip2-* | msiglip-* | metaclip2-* | nllb-*) languages=de,es,fr,it,jp,ko,pl,ru,tr,zh ;;
    *)
        echo "PECL_PROFILE: expected a name of pecl towers list, such as mini, paper or siglip2-b16, got \"$profile\"" >&2
        exit 2
        ;;
esac
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
    case " $* " in *" --dry-run "*) return ;; esac
    pecl report "$(out_of "$@")"
}
