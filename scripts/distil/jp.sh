#!/usr/bin/env bash
# distillation, Japanese: bash scripts/distil/jp.sh [any flag of pecl distil]
exec bash "$(dirname "$0")/../distil.sh" jp "$@"
