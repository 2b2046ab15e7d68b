#!/usr/bin/env bash
# distillation, Czech: bash scripts/distil/cs.sh [any flag of pecl distil]
exec bash "$(dirname "$0")/../distil.sh" cs "$@"
