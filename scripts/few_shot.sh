#!/usr/bin/env bash
# Few-shot: train on 1 to 100 pairs per language with the learning rates of the profile's grid, then print the table.
#
#   bash scripts/few_shot.sh                                    method1, the languages of the profile
#   bash scripts/few_shot.sh --shots 200 --language de          any flag of `pecl grid`
#   bash scripts/few_shot.sh --dry-run                          list the runs and estimate their time
. "$(dirname "$0")/common.sh"
pecl grid --config "$grid_config" --profile "$profile" --language "$languages" --shots 1,5,10,50,100 \
    --alignment-weight 0.03 --out results/few_shot "$@"
report results/few_shot "$@"
