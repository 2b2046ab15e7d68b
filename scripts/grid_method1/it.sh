#!/usr/bin/env bash
# method1, Italian: bash scripts/grid_method1/it.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method1 it "$@"
