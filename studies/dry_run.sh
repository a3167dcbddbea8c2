#!/bin/sh
# Every stage of studies/imagenet.sh and studies/coco.sh on a CPU, by the very commands: 200 photos of ImageNet, 128 of COCO, few steps.
# Each training is terminated after its first checkpoint and started again.
#
#   sh studies/dry_run.sh [SHARED] [RUNS]
set -eu
shared=$(realpath "${1:-../shared}")
runs=$(realpath -m "${2:-runs/dry_run}")
cpu="--trainer.devices 1 --trainer.strategy auto --trainer.accelerator cpu --data.num_workers 0 --data.num_threads 1 --checkpoint_steps 3"

# twice CHECKPOINT COMMAND…: terminates the training once it has a checkpoint; the same command then continues it.
twice() {
    checkpoint=$1
    shift
    "$@" &
    until [ -e "$checkpoint" ]; do
        kill -0 $! || exit 1
        sleep 1
    done
    kill $(ps -o pid= --ppid $!)
    code=0
    wait $! || code=$?
    [ "$code" = 143 ] # not finished before, nor failed
    echo "== terminated; the same command again"
    "$@"
}

sample=$shared/data/imagenet-sample
for file in "$sample"/images/*; do
    class=$(basename "$file" | cut -d_ -f1) # n01440764 and so on
    for part in train val; do
        mkdir -p "$runs/imagenet/$part/$class"
        ln -sf "$file" "$runs/imagenet/$part/$class/"
    done
done
twice "$runs/resnet50_dct24_16/checkpoints/last.ckpt" sh studies/imagenet.sh "$runs/imagenet" "$runs" 16 $cpu \
    --data.batch_size 8 --model.optimisation.lr 0.01 --data.statistics_photos 50 --data.resize 128 --data.crop 112 \
    --trainer.max_epochs 2 --trainer.limit_train_batches 6
twice "$runs/maskrcnn_dct24/checkpoints/last.ckpt" sh studies/coco.sh "$shared/data/coco128" "$runs" \
    "$runs/resnet50_dct24_16/checkpoints/best.ckpt" $cpu --data.train_photos images --data.train_annotations instances.json \
    --data.validation_photos images --data.validation_annotations instances.json \
    --data.validation_range '[96, 104]' --trainer.gradient_clip_val 10 --data.statistics_photos 20 \
    --data.resize 160 --data.max_size 266 --trainer.max_epochs 2 --trainer.limit_train_batches 4
