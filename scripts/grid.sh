#!/usr/bin/env bash
# One route and language over the grid of a profile; the scripts in grid_<route>/ call this one.
#
#   bash scripts/grid.sh method1 de                     the grid of configs/grid_$PECL_PROFILE.yaml (default: mini)
#   bash scripts/grid.sh method1 de --lr 1e-4,3e-4      any flag of `pecl grid` overrides the file
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 2 ] || { echo "usage: bash scripts/grid.sh ROUTE LANGUAGE [flags of pecl grid]" >&2; exit 2; }
route=$1 language=$2
shift 2
python=$([ -x .venv/bin/python ] && echo .venv/bin/python || command -v python3)
exec "$python" -m pecl grid --config "configs/grid_${PECL_PROFILE:-mini}.yaml" \
    --route "$route" --language "$language" --out "results/grid_$route" "$@"
