#!/usr/bin/env bash
# method3, Italian: bash scripts/grid_method3/it.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method3 it "$@"
