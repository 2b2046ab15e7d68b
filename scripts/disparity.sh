#!/usr/bin/env bash
# Disparity: compare every language with English, with the base encoder, one adapter per language, and one adapter for all.
#
#   bash scripts/disparity.sh                                   the profile's languages and English, method1
#   bash scripts/disparity.sh --lr 1e-4 --seeds 1,2,3           any flag of `pecl grid` except --language
. "$(dirname "$0")/common.sh"
pecl grid --config "$grid_config" --profile "$profile" --route method1 --language "en,$languages" --out results/disparity "$@"
pecl grid --config "$grid_config" --profile "$profile" --route method1 --joint "en+${languages//,/+}" --out results/disparity "$@"
report results/disparity "$@"
