#!/usr/bin/env bash
# Full data; then the table. The mini profile trains on text alone, every translated caption of Multi30K outside the
# few-shot pool, one pass. The others train on all pairs of Multi30K's training part, photographs included.
#
#   PECL_DATA_DIR=... bash scripts/full_data.sh                              German, French and Czech
#   PECL_DATA_DIR=... bash scripts/full_data.sh --lr 1e-3,2e-3 --seeds 1,2   any flag of `pecl grid`
. "$(dirname "$0")/common.sh"
[ "$profile" = mini ] && config=configs/full_data.yaml || config=configs/full_data_paper.yaml
pecl grid --config "$config" --profile "$profile" --out results/full_data "$@"
report results/full_data "$@"
