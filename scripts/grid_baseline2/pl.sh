#!/usr/bin/env bash
# baseline2, Polish: bash scripts/grid_baseline2/pl.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline2 pl "$@"
