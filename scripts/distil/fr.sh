#!/usr/bin/env bash
# distillation, French: bash scripts/distil/fr.sh [any flag of pecl distil]
exec bash "$(dirname "$0")/../distil.sh" fr "$@"
