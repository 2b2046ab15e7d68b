#!/usr/bin/env bash
# method2, Spanish: bash scripts/grid_method2/es.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method2 es "$@"
