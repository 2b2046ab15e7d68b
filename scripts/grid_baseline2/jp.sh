#!/usr/bin/env bash
# baseline2, Japanese: bash scripts/grid_baseline2/jp.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline2 jp "$@"
