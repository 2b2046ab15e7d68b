#!/usr/bin/env bash
# baseline1, Czech: bash scripts/grid_baseline1/cs.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline1 cs "$@"
