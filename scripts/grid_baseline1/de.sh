#!/usr/bin/env bash
# baseline1, German: bash scripts/grid_baseline1/de.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline1 de "$@"
