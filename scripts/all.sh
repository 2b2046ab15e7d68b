#!/usr/bin/env bash
# Run all studies of a profile one after another. Complete runs are skipped. A failed study does not stop the others; the
# exit status is then 1. Ctrl-C stops all.
#
#   bash scripts/all.sh --dry-run                       list the runs and estimate their time
#   PECL_DATA_DIR=... bash scripts/all.sh --jobs 2      any flag of `pecl grid` except --language; 2 runs at a time
#   PECL_PROFILE=paper bash scripts/all.sh --device cuda --seeds 1,2,3
. "$(dirname "$0")/common.sh"
failed=""
plans=$(mktemp) # JSON of the dry runs
trap 'rm -f "$plans"' EXIT
dry=""
case " $* " in *" --dry"*) dry=--dry-run ;; esac
study() {
    echo "== $1" >&2
    if [ -n "$dry" ]; then "${@:2}" --json >> "$plans"; else "${@:2}"; fi ||
        { [ $? != 130 ] || exit 130; failed="$failed $1"; }
}
out=$(out_of "" "$@")
study zero_shot bash scripts/zero_shot.sh $dry ${out:+--out "$out"}
for route in baseline1 baseline2 method1 method2 method3; do
    study "grid_$route" bash scripts/grid.sh "$route" "$languages" "$@"
done
for name in few_shot full_data ablation_adapters disparity; do
    study "$name" bash "scripts/$name.sh" "$@"
done
[ -z "$failed" ] || { echo "not complete:$failed" >&2; exit 1; }
folders=(results/{zero_shot,grid_{baseline1,baseline2,method1,method2,method3},few_shot,full_data,adapters,disparity})
[ -z "$out" ] || folders=("$out")
if [ -n "$dry" ]; then "$python" tools/list_plans.py < "$plans"; else pecl report "${folders[@]}"; fi
