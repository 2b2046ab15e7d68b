#!/usr/bin/env bash
# baseline1, Japanese: bash scripts/grid_baseline1/jp.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline1 jp "$@"
