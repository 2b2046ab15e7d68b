#!/usr/bin/env bash
# method2, Polish: bash scripts/grid_method2/pl.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method2 pl "$@"
