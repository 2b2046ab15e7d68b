#!/usr/bin/env bash
# method1, English: bash scripts/grid_method1/en.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method1 en "$@"
