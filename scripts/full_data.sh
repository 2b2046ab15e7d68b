#!/usr/bin/env bash
# Full data: every translated caption of Multi30K outside the few-shot pool, one pass; then the table.
#
#   PECL_DATA_DIR=... bash scripts/full_data.sh                              German, French and Czech
#   PECL_DATA_DIR=... bash scripts/full_data.sh --lr 1e-3,2e-3 --seeds 1,2   any flag of `pecl grid`
. "$(dirname "$0")/common.sh"
pecl grid --config configs/full_data.yaml --profile "$profile" --out results/full_data "$@"
report results/full_data "$@"
