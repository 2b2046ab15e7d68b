#!/usr/bin/env bash
# baseline2, Korean: bash scripts/grid_baseline2/ko.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline2 ko "$@"
