#!/usr/bin/env bash
# distillation, Spanish: bash scripts/distil/es.sh [any flag of pecl distil]
exec bash "$(dirname "$0")/../distil.sh" es "$@"
