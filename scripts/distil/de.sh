#!/usr/bin/env bash
# distillation, German: bash scripts/distil/de.sh [any flag of pecl distil]
exec bash "$(dirname "$0")/../distil.sh" de "$@"
