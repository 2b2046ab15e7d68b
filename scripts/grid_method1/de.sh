#!/usr/bin/env bash
# method1, German: bash scripts/grid_method1/de.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method1 de "$@"
