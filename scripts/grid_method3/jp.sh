#!/usr/bin/env bash
# method3, Japanese: bash scripts/grid_method3/jp.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method3 jp "$@"
