# Shared by the scripts, which source it: change to the checkout, find its Python, set the profile's values.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/help.sh"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$([ -x .venv/bin/python ] && echo .venv/bin/python || command -v python3)
profile=${PECL_PROFILE:-mini}
profiles="clip-b32-multilingual labse metaclip2-b16 metaclip2-h14 metaclip2-l14 metaclip2-mt5-b32
    metaclip2-mt5-m16 metaclip2-mt5-s16 metaclip2-s16 mini msiglip-b16 msiglip-so400m nllb-base
    nllb-large paper siglip2-b16 siglip2-gopt siglip2-l16 siglip2-so400m vit-b-16-plus vit-b-32 xlm-r-b32
    xlm-r-h14"
case " $(echo $profiles) " in
    *" $profile "*) ;;
    *)
        echo "PECL_PROFILE: expected one of $(echo $profiles | sed 's/ /, /g'), got \"$profile\"" >&2
        exit 2
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
