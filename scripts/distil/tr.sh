#!/usr/bin/env bash
# distillation, Turkish: bash scripts/distil/tr.sh [any flag of pecl distil]
exec bash "$(dirname "$0")/../distil.sh" tr "$@"
