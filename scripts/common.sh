# What the scripts share; they read it with `.`: the checkout as the folder, its Python, and the profile's values.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$([ -x .venv/bin/python ] && echo .venv/bin/python || command -v python3)
profile=${PECL_PROFILE:-mini}
case $profile in
    mini) languages=de,fr,cs ;;
    *) languages=de,es,fr,it,jp,ko,pl,ru,tr,zh ;;
esac
grid_config=configs/grid_$profile.yaml
[ -f "$grid_config" ] || grid_config=configs/grid_paper.yaml # the other M-CLIP pairs share the paper's grid

pecl() { "$python" -m pecl "$@"; }

# report FOLDER [flags of the grid]: its tables, unless the grid was a dry run
report() {
    case " $* " in *" --dry-run "*) return ;; esac
    pecl report "$1"
}
