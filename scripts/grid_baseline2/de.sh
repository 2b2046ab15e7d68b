#!/usr/bin/env bash
# baseline2, German: bash scripts/grid_baseline2/de.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline2 de "$@"
