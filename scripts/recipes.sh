#!/usr/bin/env bash
# Train the comparison of docs/recipes.md, measure English through each adapter, and write the page's tables. Repeat the command
# after a stop: it continues.
#
#   PECL_DATA_DIR=... bash scripts/recipes.sh                      all recipes, with 757 and with 50 captions
#   PECL_DATA_DIR=... bash scripts/recipes.sh --dry-run            the runs that are left, and their cost
#   PECL_DATA_DIR=... bash scripts/recipes.sh --captions 757 --recipes distil,relations
#   PECL_DATA_DIR=... bash scripts/recipes.sh --time               seconds of training and of a query; needs an idle machine
. "$(dirname "$0")/common.sh"
"$python" tools/recipes.py "$@"
case " $* " in *" --dry-run "*) exit ;; esac
"$python" tools/recipes_tables.py --write
