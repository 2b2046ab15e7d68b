#!/usr/bin/env bash
# method2, Czech: bash scripts/grid_method2/cs.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method2 cs "$@"
