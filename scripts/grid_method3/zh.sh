#!/usr/bin/env bash
# method3, Chinese: bash scripts/grid_method3/zh.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method3 zh "$@"
