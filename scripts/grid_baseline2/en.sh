#!/usr/bin/env bash
# baseline2, English: bash scripts/grid_baseline2/en.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline2 en "$@"
