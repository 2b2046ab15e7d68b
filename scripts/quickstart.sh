#!/usr/bin/env bash
# From an empty machine to trained languages: install into .venv, train Polish from its distilled adapter and German from the
# base encoder on drawn scenes, print the recall before and after, and write a page with the retrieved scenes.
#
#   bash scripts/quickstart.sh
#
# Needs Linux, Python 3.10 or newer and a package index. Safe to repeat: complete runs are skipped.
set -euo pipefail
. "$(dirname "$0")/help.sh"
cd "$(dirname "$0")/.."
[ $# -eq 0 ] || { echo "quickstart.sh: expected no arguments, got \"$1\"" >&2; exit 2; }
bash scripts/install.sh
echo "== distilled: Polish on drawn scenes, from the shipped adapter, which was trained only on translated text;"
echo "   one epoch on 50 scenes; recall before and after"
.venv/bin/pecl train --dataset scenes --language pl --start pecl/adapters/shipped/mini/pl.safetensors --epochs 1 --no-dropout \
    --out results/quickstart
echo "== few-shot: German (route method1) on 50 drawn scenes, a grid of three learning rates"
bash scripts/grid_method1/de.sh
echo "== report: 900 test captions before and after training, Polish and German; open this file in a browser"
.venv/bin/pecl report results/quickstart results/grid_method1 --html results/quickstart/page
cat <<'NEXT'
== distillation on translated text gains more than few-shot training: docs/results.md
== next
  bash scripts/grid_method1/cs.sh               another language
  bash scripts/grid_method2/de.sh               another route
  .venv/bin/pecl doctor                         check the installation and the data sets
  PECL_DATA_DIR=... .venv/bin/pecl evaluate --dataset multi30k-1k --language en,de,fr,cs      on photographs (data/README.md)
NEXT
