#!/usr/bin/env bash
# method3, Russian: bash scripts/grid_method3/ru.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method3 ru "$@"
