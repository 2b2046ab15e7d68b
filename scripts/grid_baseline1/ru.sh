#!/usr/bin/env bash
# baseline1, Russian: bash scripts/grid_baseline1/ru.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline1 ru "$@"
