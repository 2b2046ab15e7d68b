#!/usr/bin/env bash
# baseline2, Chinese: bash scripts/grid_baseline2/zh.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline2 zh "$@"
