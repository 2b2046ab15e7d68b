#!/usr/bin/env bash
# method1, Spanish: bash scripts/grid_method1/es.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method1 es "$@"
