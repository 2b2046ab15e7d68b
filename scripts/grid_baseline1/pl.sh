#!/usr/bin/env bash
# baseline1, Polish: bash scripts/grid_baseline1/pl.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline1 pl "$@"
