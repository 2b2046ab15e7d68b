#!/usr/bin/env bash
# baseline2, Turkish: bash scripts/grid_baseline2/tr.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline2 tr "$@"
