#!/usr/bin/env bash
# method2, French: bash scripts/grid_method2/fr.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method2 fr "$@"
