#!/usr/bin/env bash
# baseline1, Korean: bash scripts/grid_baseline1/ko.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" baseline1 ko "$@"
