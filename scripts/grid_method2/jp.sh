#!/usr/bin/env bash
# method2, Japanese: bash scripts/grid_method2/jp.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method2 jp "$@"
