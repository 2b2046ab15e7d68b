#!/usr/bin/env bash
# baseline2, Spanish: bash scripts/grid_baseline2/es.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline2 es "$@"
