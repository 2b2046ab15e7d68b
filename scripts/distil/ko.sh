#!/usr/bin/env bash
# distillation, Korean: bash scripts/distil/ko.sh [any flag of pecl distil]
exec bash "$(dirname "$0")/../distil.sh" ko "$@"
