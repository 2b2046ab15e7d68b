#!/usr/bin/env bash
# baseline1, English: bash scripts/grid_baseline1/en.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline1 en "$@"
