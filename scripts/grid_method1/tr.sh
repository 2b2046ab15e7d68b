#!/usr/bin/env bash
# method1, Turkish: bash scripts/grid_method1/tr.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method1 tr "$@"
