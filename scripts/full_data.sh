#!/usr/bin/env bash
# Full data: train on all pairs, then print the table. The mini profile makes one pass over text only: all translated
# captions of Multi30K outside the few-shot pool. The others use Multi30K's whole training part with photographs.
#
#   PECL_DATA_DIR=... bash scripts/full_data.sh                              German, French and Czech
#   PECL_DATA_DIR=... bash scripts/full_data.sh --lr 1e-3,2e-3 --seeds 1,2   any flag of `pecl grid`
. "$(dirname "$0")/common.sh"
[ "$profile" = mini ] && config=configs/full_data.yaml || config=configs/full_data_paper.yaml
pecl grid --config "$config" --profile "$profile" --out results/full_data "$@"
report results/full_data "$@"
