#!/usr/bin/env bash
# Zero-shot: measure the base encoder's recall in every language on the profile's whole data set.
#
#   bash scripts/zero_shot.sh                                          drawn scenes with the mini profile
#   PECL_PROFILE=paper bash scripts/zero_shot.sh --device cuda         XTD10; any flag of `pecl evaluate`
#   PECL_DATA_DIR=... bash scripts/zero_shot.sh --dataset multi30k-1k --language en,de,fr,cs
. "$(dirname "$0")/common.sh"
dataset=$(sed -n 's/^dataset: //p' "$grid_config")
pecl evaluate --profile "$profile" --dataset "$dataset" --language "en,$languages" --out results/zero_shot "$@"
