#!/usr/bin/env bash
# method2, English: bash scripts/grid_method2/en.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method2 en "$@"
