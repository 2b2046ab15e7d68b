#!/usr/bin/env bash
# Train one route and language over the grid of a profile. The scripts in grid_<route>/ call this script.
#
#   bash scripts/grid.sh method1 de                     the grid of configs/grid_$PECL_PROFILE.yaml (default: mini)
#   bash scripts/grid.sh method1 de --lr 1e-4,3e-4      any flag of `pecl grid` overrides the file
#   bash scripts/grid.sh method1 de --dry-run           list the runs and estimate their time
. "$(dirname "$0")/common.sh"
[ $# -ge 2 ] || { echo "usage: bash scripts/grid.sh ROUTE LANGUAGE [flags of pecl grid]" >&2; exit 2; }
pecl grid --config "$grid_config" --profile "$profile" --route "$1" --language "$2" --out "results/grid_$1" "${@:3}"
