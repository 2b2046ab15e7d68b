#!/usr/bin/env bash
# method2, Turkish: bash scripts/grid_method2/tr.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method2 tr "$@"
