#!/usr/bin/env bash
# Train every kind of adapter for the same number of steps, then print the table. Each run has its own process, so its
# peak memory is that of its adapter.
#
#   PECL_DATA_DIR=... bash scripts/ablation_adapters.sh                            Czech and German
#   PECL_DATA_DIR=... bash scripts/ablation_adapters.sh --language fr --lr 1e-3    any flag of `pecl grid`
. "$(dirname "$0")/common.sh"
pecl grid --config configs/adapters.yaml --profile "$profile" --launcher process --jobs 1 --out results/adapters "$@"
report results/adapters "$@"
