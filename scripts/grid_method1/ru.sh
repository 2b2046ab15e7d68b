#!/usr/bin/env bash
# method1, Russian: bash scripts/grid_method1/ru.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method1 ru "$@"
