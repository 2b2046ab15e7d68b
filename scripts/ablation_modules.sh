#!/usr/bin/env bash
# Every parameter-efficient module with the same budget of steps, each in a process of its own, so that peak memory is
# that of the module; then the table.
#
#   PECL_DATA_DIR=... bash scripts/ablation_modules.sh                            Czech and German
#   PECL_DATA_DIR=... bash scripts/ablation_modules.sh --language fr --lr 1e-3    any flag of `pecl grid`
. "$(dirname "$0")/common.sh"
pecl grid --config configs/modules.yaml --profile "$profile" --launcher process --jobs 1 --out results/modules "$@"
report results/modules "$@"
