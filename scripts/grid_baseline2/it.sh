#!/usr/bin/env bash
# baseline2, Italian: bash scripts/grid_baseline2/it.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline2 it "$@"
