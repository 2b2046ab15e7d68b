#!/usr/bin/env bash
# method1, Czech: bash scripts/grid_method1/cs.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method1 cs "$@"
