#!/usr/bin/env bash
# method3, Korean: bash scripts/grid_method3/ko.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method3 ko "$@"
