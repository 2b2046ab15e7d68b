#!/usr/bin/env bash
# method2, Italian: bash scripts/grid_method2/it.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method2 it "$@"
