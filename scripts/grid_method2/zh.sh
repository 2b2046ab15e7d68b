#!/usr/bin/env bash
# method2, Chinese: bash scripts/grid_method2/zh.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method2 zh "$@"
