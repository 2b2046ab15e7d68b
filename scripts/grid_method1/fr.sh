#!/usr/bin/env bash
# method1, French: bash scripts/grid_method1/fr.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method1 fr "$@"
