#!/bin/sh
# ResNet-50 on 24 DCT channels of ImageNet, from scratch: pack, train, validate, export. Stopped and started again, it continues.
#
#   sh studies/imagenet.sh PHOTOS RUNS EPOCHS [OPTIONS OF freqvision fit]
#
# PHOTOS holds train/CLASS and val/CLASS; EPOCHS is 16 or 90. 48 channels are packed, which serve random crops better than 24.
# One GPU: add --config configs/imagenet/one_gpu.yaml. Pixels of the same store: add --config configs/imagenet/rgb.yaml.
set -eu
photos=$1 runs=$2 epochs=$3
shift 3
freqvision() { ${PYTHON:-python} -m freqvision.cli.main "$@"; }

for part in train val; do
    [ -e "$runs/packed/$part.done" ] && continue
    freqvision pack "$photos/$part" "$runs/packed/$part" --channels 48 --codec zstd --damaged skip
    touch "$runs/packed/$part.done"
done
run=$runs/resnet50_dct24_$epochs
freqvision fit --config configs/imagenet/resnet50.yaml --config "configs/imagenet/epochs$epochs.yaml" --data PhotoShards \
    --data.root "$runs/packed" --data.train train --data.validation val --output "$run" --ckpt_path auto "$@"
freqvision validate --checkpoint "$run/checkpoints/best.ckpt" --data "$photos/val"
freqvision export "$run/checkpoints/best.ckpt" --to onnx
