#!/usr/bin/env bash
# distillation, Polish: bash scripts/distil/pl.sh [any flag of pecl distil]
exec bash "$(dirname "$0")/../distil.sh" pl "$@"
