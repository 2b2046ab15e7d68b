#!/usr/bin/env bash
# Train every method of both engines at a budget of parameters, measure what a training does not, and print the tables of
# docs/screening.md. Repeat the command after a stop: it continues.
#
#   PECL_DATA_DIR=... bash scripts/screening.sh                          Swahili first, then the other languages; one seed
#   PECL_DATA_DIR=... bash scripts/screening.sh --dry-run                list the runs
#   PECL_DATA_DIR=... bash scripts/screening.sh --methods lora,boft      some methods
#   PECL_DATA_DIR=... bash scripts/screening.sh --budgets .05,.16 --pairs 757,5000 --seeds 1,2,3 --layers all --rates each
#                                                                      the full plan
. "$(dirname "$0")/common.sh"
"$python" tools/screening.py "$@"
case " $* " in *" --dry-run "*) exit ;; esac
"$python" tools/screening_measure.py
"$python" tools/screening_tables.py
