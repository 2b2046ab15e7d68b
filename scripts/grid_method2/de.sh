#!/usr/bin/env bash
# method2, German: bash scripts/grid_method2/de.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method2 de "$@"
