#!/usr/bin/env bash
# baseline2, Russian: bash scripts/grid_baseline2/ru.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline2 ru "$@"
