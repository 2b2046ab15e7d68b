#!/usr/bin/env bash
# method3, German: bash scripts/grid_method3/de.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method3 de "$@"
