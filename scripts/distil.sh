#!/usr/bin/env bash
# Distil a language from translated text, then print the table. The mini profile trains German, French and Czech on
# Multi30K's translations outside the pool. All other languages, and all other pairs, use Flickr30k-200's translations.
#
#   bash scripts/distil.sh cs                        Czech
#   bash scripts/distil.sh ko --dry-run              print only pairs and steps
#   PECL_PROFILE=paper bash scripts/distil.sh de --device cuda
#   bash scripts/distil.sh cs --text mine.tsv        any flag of `pecl distil`
. "$(dirname "$0")/common.sh"
language=${1:-}
[ $# -gt 0 ] && shift
case $language in
    de | fr | cs | es | it | jp | ko | pl | ru | tr | zh) ;;
    *) echo "distil.sh: expected a language, one of de fr cs es it jp ko pl ru tr zh, got \"$language\"" >&2; exit 2 ;;
esac
if [ "$profile" = mini ]; then
    case $language in
        de | fr | cs) config=configs/distil_mini.yaml ;;
        *) config=configs/distil_mini_words.yaml; set -- --dataset xtd10 "$@" ;;
    esac
else
    name=${profile//-/_}
    config=configs/distil_${name%_b16}.yaml
    [ -f "$config" ] || config=configs/distil_paper.yaml # the recipe of the paper's pair, for the others
fi
pecl distil --config "$config" --profile "$profile" --language "$language" --out results/distil "$@"
report results/distil "$@"
