#!/usr/bin/env bash
# Every kind of adapter with the same budget of steps, each in a process of its own, so that peak memory is
# that of the adapter; then the table.
#
#   PECL_DATA_DIR=... bash scripts/ablation_adapters.sh                            Czech and German
#   PECL_DATA_DIR=... bash scripts/ablation_adapters.sh --language fr --lr 1e-3    any flag of `pecl grid`
. "$(dirname "$0")/common.sh"
pecl grid --config configs/adapters.yaml --profile "$profile" --launcher process --jobs 1 --out results/adapters "$@"
report results/adapters "$@"
