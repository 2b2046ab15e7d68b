#!/usr/bin/env bash
# From an empty machine to a trained language: installs into .venv, shows what a distilled language gains, trains German on
# drawn scenes, prints the recall before and after, and the path of a page with the scenes that were found.
#
#   bash scripts/quickstart.sh
#
# Needs Linux, Python 3.10 or newer and a package index. Safe to repeat: what is complete is not done again.
set -euo pipefail
. "$(dirname "$0")/help.sh"
cd "$(dirname "$0")/.."
[ $# -eq 0 ] || { echo "quickstart.sh takes nothing, got \"$1\"" >&2; exit 2; }
bash scripts/install.sh
echo "== distilled: Polish on drawn scenes; it starts from the adapter that the package ships, which learned from translated"
echo "   text alone, and learns a little from 50 scenes: recall before and after"
ready=pecl/adapters/shipped/mini/pl
.venv/bin/pecl train --dataset scenes --language pl --start "$ready.safetensors" --epochs 1 --no-dropout \
    --adapter "$(sed -n 's/^ *"spec": "\(.*\)",*$/\1/p' "$ready.json")" --out results/quickstart
echo "== few-shot: German (route method1) learns from 50 drawn scenes alone, a grid of three learning rates"
bash scripts/grid_method1/de.sh
echo "== what 900 other captions found before and after, Polish and German; open this file in a browser"
.venv/bin/pecl report results/quickstart results/grid_method1 --html results/quickstart/page
cat <<'NEXT'
== distillation, from translated text alone, gains what few-shot training does not: docs/effect.md
== next
  bash scripts/grid_method1/cs.sh               another language
  bash scripts/grid_method2/de.sh               another route
  .venv/bin/pecl doctor                         what is installed and which data sets are found
  PECL_DATA_DIR=... .venv/bin/pecl evaluate --dataset multi30k-1k --language en,de,fr,cs      photographs (data/README.md)
NEXT
