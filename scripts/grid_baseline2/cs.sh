#!/usr/bin/env bash
# baseline2, Czech: bash scripts/grid_baseline2/cs.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline2 cs "$@"
