#!/usr/bin/env bash
# method3, English: bash scripts/grid_method3/en.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method3 en "$@"
