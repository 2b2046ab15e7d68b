#!/usr/bin/env bash
# method2, Korean: bash scripts/grid_method2/ko.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method2 ko "$@"
