#!/bin/sh
# Mask R-CNN on 24 DCT channels of COCO, its usual 12 epochs: train, validate, export. Stopped and started again, it continues.
#
#   sh studies/coco.sh PHOTOS RUNS BACKBONE [OPTIONS OF freqvision fit]
#
# PHOTOS holds train2017/, val2017/ and annotations/; BACKBONE is a checkpoint of studies/imagenet.sh, or RGB weights, which are folded.
# Photos stay files: a step of a detector takes much longer than reading its photos. One GPU: add --config configs/coco/one_gpu.yaml.
set -eu
photos=$1 run=$2/maskrcnn_dct24 backbone=$3
shift 3
freqvision() { ${PYTHON:-python} -m freqvision.cli.main "$@"; }

freqvision fit --config configs/coco/maskrcnn.yaml --data.root "$photos" --model.weights_backbone "$backbone" --output "$run" \
    --ckpt_path auto "$@"
freqvision validate --checkpoint "$run/checkpoints/best.ckpt" --results "$run/detections.json"
freqvision export "$run/checkpoints/best.ckpt" --to onnx
