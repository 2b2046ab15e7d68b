#!/usr/bin/env bash
# method3, Polish: bash scripts/grid_method3/pl.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method3 pl "$@"
