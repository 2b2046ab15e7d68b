#!/usr/bin/env bash
# baseline2, French: bash scripts/grid_baseline2/fr.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline2 fr "$@"
