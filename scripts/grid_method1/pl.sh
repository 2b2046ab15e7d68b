#!/usr/bin/env bash
# method1, Polish: bash scripts/grid_method1/pl.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method1 pl "$@"
