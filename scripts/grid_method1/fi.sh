#!/usr/bin/env bash
# method1, Finnish, which has captions without photographs only: bash scripts/grid_method1/fi.sh [any flag of pecl grid]
exec bash "$(dirname "$0")/../grid.sh" method1 fi --dataset xtd200 --gallery english --image-weight 0 "$@"
