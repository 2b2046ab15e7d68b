#!/usr/bin/env bash
# method3, Czech: bash scripts/grid_method3/cs.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method3 cs "$@"
