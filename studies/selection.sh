#!/bin/sh
# Channel selection on ../shared: gates, the static sets chosen by them, sensitivity, report. Finished steps are
# skipped, so it can be stopped and started again; a few hours on a GPU, a day or more on two cores.
#
#   sh studies/selection.sh [FOLDER-FOR-RUNS]
set -eu
cd "$(dirname "$0")/.."
runs=${1:-runs/selection}
shared=../shared
freqvision() { ${PYTHON:-.venv/bin/python} -m freqvision.cli.main "$@"; }

# fit NAME OPTIONS…: a training, unless it is complete; an interrupted one resumes.
fit() {
    name=$1
    shift
    [ -e "$runs/$name/done" ] && return
    if [ -e "$runs/$name/checkpoints/last.ckpt" ]; then
        set -- "$@" --ckpt_path last
    fi
    echo "== $name"
    freqvision fit "$@" --output "$runs/$name"
    touch "$runs/$name/done"
}

# select NAME OPTIONS…: a selection, unless it exists.
select_channels() {
    name=$1
    shift
    [ -e "$runs/select/$name/channels.json" ] && return
    echo "== select $name"
    freqvision select "$@" --output "$runs/select/$name"
}

gated="--config configs/clothing/resnet50_gated.yaml"
static="--config configs/clothing/resnet50_dct24.yaml --data.statistics $runs/gated_seed0/statistics.json"

# 1. All 192 channels, with gates and without.
fit gated_seed0 $gated
fit ungated_seed0 $gated --model.gates null --data.statistics "$runs/gated_seed0/statistics.json"

# 2. What the gates select, and other measures of the ungated network.
train=$shared/data/clothing/train
validation=$shared/data/clothing/validation
checkpoint=$runs/ungated_seed0/checkpoints/last.ckpt
counts='[6,12,24,48,96,192]'
select_channels gates --by gates --checkpoint "$runs/gated_seed0/checkpoints/last.ckpt" --data $train --top 24 --shrink
select_channels gradient --by gradient --checkpoint "$checkpoint" --data $validation --photos 100 --top 24
select_channels energy --by energy --statistics "$runs/gated_seed0/statistics.json" --top 24
select_channels rectangles --by rectangles --top 24
select_channels imagenet --by sensitivity --model resnet50 --strides v1 --measure divergence \
    --weights $shared/weights/resnet50_v1_imagenet1k.safetensors --data $shared/data/imagenet-sample/images \
    --labels $shared/data/imagenet-sample/labels.csv --photos 40 --curve "$counts" --top 24

# 3. 24 channels of each choice, trained alike, two seeds.
for seed in 0 1; do
    for by in gates rectangles energy; do
        fit "${by}24_seed$seed" $static --seed_everything $seed --data.channels "$runs/select/$by/channels.json"
    done
done

# 4. What the gates see of a channel.
for squeeze in mean magnitude; do
    fit "gated_${squeeze}_seed0" $gated --model.gates.squeeze $squeeze \
        --data.statistics "$runs/gated_seed0/statistics.json"
    select_channels "gates_$squeeze" --by gates --checkpoint "$runs/gated_${squeeze}_seed0/checkpoints/last.ckpt" \
        --data $train --top 24
done

# 5. One page.
freqvision report "$runs"/select/gates "$runs"/select/gates_mean "$runs"/select/gates_magnitude \
    "$runs"/select/imagenet "$runs"/select/gradient "$runs"/select/energy "$runs"/select/rectangles \
    --runs "$runs"/*_seed* --photos $(ls $validation/*/* | awk 'NR % 70 == 1') --output "$runs/report"
