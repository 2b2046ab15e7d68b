#!/usr/bin/env bash
# method1, Chinese: bash scripts/grid_method1/zh.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method1 zh "$@"
