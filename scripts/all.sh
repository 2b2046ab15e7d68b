#!/usr/bin/env bash
# Run all studies of a profile one after another. Complete runs are skipped. A failed study does not stop the others; the
# exit status is then 1. Ctrl-C stops all.
#
#   bash scripts/all.sh --dry-run                       list the runs and estimate their time
#   PECL_DATA_DIR=... bash scripts/all.sh --jobs 2      any flag of `pecl grid` except --language; 2 runs at a time
#   PECL_PROFILE=paper bash scripts/all.sh --device cuda --seeds 1,2,3
. "$(dirname "$0")/common.sh"
failed=""
log=$(mktemp)
trap 'rm -f "$log"' EXIT
study() {
    echo "== $1" >&2
    "${@:2}" | tee -a "$log" || { [ $? != 130 ] || exit 130; failed="$failed $1"; }
}
dry=""
case " $* " in *" --dry"*) dry=--dry-run ;; esac
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
[ -n "$dry" ] || { pecl report "${folders[@]}"; exit; }
awk '/^[0-9,]+ (run|evaluation)/ {
        count = $1; gsub(",", "", count); runs += count; studies++
        for (i = 1; i < NF - 1; i++) if ($i == "about") {
            minutes += $(i + 1) * ($(i + 2) == "s" ? 1 / 60 : $(i + 2) == "min" ? 1 : $(i + 2) == "h" ? 60 : 1440); known++
        }
    }
    END { printf "all: %d runs and evaluations in %d parts, about %.0f min for the %d parts with a known time\n", runs, studies, minutes, known }' "$log"
