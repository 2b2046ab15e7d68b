#!/usr/bin/env bash
# baseline1, Spanish: bash scripts/grid_baseline1/es.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline1 es "$@"
