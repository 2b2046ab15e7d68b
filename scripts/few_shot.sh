#!/usr/bin/env bash
# Few-shot: 1 to 100 training pairs a language, over the learning rates of the profile's grid; then the table.
#
#   bash scripts/few_shot.sh                                    method1, the languages of the profile
#   bash scripts/few_shot.sh --shots 200 --language de          any flag of `pecl grid`
#   bash scripts/few_shot.sh --dry-run                          the runs, and how long they will take
. "$(dirname "$0")/common.sh"
pecl grid --config "$grid_config" --profile "$profile" --language "$languages" --shots 1,5,10,50,100 \
    --alignment-weight 0.03 --out results/few_shot "$@"
report results/few_shot "$@"
