#!/usr/bin/env bash
# baseline1, French: bash scripts/grid_baseline1/fr.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline1 fr "$@"
