#!/usr/bin/env bash
# Every parameter-efficient module with the same budget of steps, each in a process of its own; then the table.
#
#   PECL_DATA_DIR=... bash scripts/ablation_modules.sh                 Czech and German
#   PECL_DATA_DIR=... bash scripts/ablation_modules.sh fr --lr 1e-3    other languages; any flag of `pecl train`
set -euo pipefail
cd "$(dirname "$0")/.."
python=$([ -x .venv/bin/python ] && echo .venv/bin/python || command -v python3)
languages="cs de"
if [ $# -gt 0 ] && [[ $1 != --* ]]; then languages=${1//,/ }; shift; fi
for language in $languages; do
    for adapter in soft_prompt lora-r1 bitfit compacter prefix head lora bottleneck; do
        "$python" -m pecl train --config configs/modules.yaml --language "$language" --adapter "$adapter" \
            --out results/modules "$@"
    done
done
exec "$python" -m pecl report results/modules
