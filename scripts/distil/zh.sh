#!/usr/bin/env bash
# distillation, Chinese: bash scripts/distil/zh.sh [any flag of pecl distil]
exec bash "$(dirname "$0")/../distil.sh" zh "$@"
