#!/usr/bin/env bash
# method3, French: bash scripts/grid_method3/fr.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method3 fr "$@"
