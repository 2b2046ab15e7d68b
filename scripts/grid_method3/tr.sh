#!/usr/bin/env bash
# method3, Turkish: bash scripts/grid_method3/tr.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method3 tr "$@"
