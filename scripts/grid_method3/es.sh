#!/usr/bin/env bash
# method3, Spanish: bash scripts/grid_method3/es.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method3 es "$@"
