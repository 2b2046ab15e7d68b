#!/usr/bin/env bash
# method2, Russian: bash scripts/grid_method2/ru.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method2 ru "$@"
