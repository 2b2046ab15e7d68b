#!/usr/bin/env bash
# method1, Japanese: bash scripts/grid_method1/jp.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method1 jp "$@"
