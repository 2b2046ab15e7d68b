#!/usr/bin/env bash
# distillation, Italian: bash scripts/distil/it.sh [any flag of pecl distil]
exec bash "$(dirname "$0")/../distil.sh" it "$@"
