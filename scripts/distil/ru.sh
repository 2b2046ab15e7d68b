#!/usr/bin/env bash
# distillation, Russian: bash scripts/distil/ru.sh [any flag of pecl distil]
exec bash "$(dirname "$0")/../distil.sh" ru "$@"
