#!/usr/bin/env bash
# method1, Korean: bash scripts/grid_method1/ko.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method1 ko "$@"
