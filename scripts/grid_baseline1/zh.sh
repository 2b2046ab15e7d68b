#!/usr/bin/env bash
# baseline1, Chinese: bash scripts/grid_baseline1/zh.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline1 zh "$@"
