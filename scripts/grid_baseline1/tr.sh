#!/usr/bin/env bash
# baseline1, Turkish: bash scripts/grid_baseline1/tr.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline1 tr "$@"
