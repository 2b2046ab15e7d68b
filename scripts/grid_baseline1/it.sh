#!/usr/bin/env bash
# baseline1, Italian: bash scripts/grid_baseline1/it.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline1 it "$@"
