#!/usr/bin/env bash
# method1, Finnish, which has captions without photographs only: bash scripts/grid_method1/fi.sh [any flag of pecl grid]
# The anchor is frozen: with a trained one and no photographs, all texts would collapse to one embedding.
exec bash "$(dirname "$0")/../grid.sh" method1 fi --dataset xtd200 --gallery english --image-weight 0 --anchor frozen --text flickr30k200 --overlap drop "$@"
