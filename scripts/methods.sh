#!/usr/bin/env bash
# Train the comparison of docs/methods.md, measure English through each adapter, and write the page's tables. Repeat the command
# after a stop: it continues.
#
#   PECL_DATA_DIR=... bash scripts/methods.sh                      all parts: main, placement, engines
#   PECL_DATA_DIR=... bash scripts/methods.sh --dry-run            the runs that are left, and their cost
#   PECL_DATA_DIR=... bash scripts/methods.sh --parts main         one part
. "$(dirname "$0")/common.sh"
"$python" tools/methods.py "$@"
case " $* " in *" --dry-run "*) exit ;; esac
"$python" tools/methods_tables.py --write
