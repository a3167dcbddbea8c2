"""Draw `detection.png`: what a Mask R-CNN of DCT channels finds in a scene it has not seen.

    python docs/figures/detection.py

It writes 160 scenes of our own making, trains on them for 8 epochs from ../shared's ResNet-50, and keeps all
of it in runs/scenes; later calls only draw.
"""

from pathlib import Path

from PIL import Image

from freqvision.detection.find_objects import find_objects
from freqvision.detection.scenes import synthetic_scene, write_synthetic_scenes
from freqvision.training.fit import fit

FOLDER = Path("runs/scenes")
SETTINGS = """
--model Detector --model.name maskrcnn_resnet50_fpn --model.detector.samples 64
--model.weights_backbone ../shared/weights/resnet50_v1_imagenet1k.safetensors
--model.strides v1 --model.start fold
--model.optimisation.optimizer adamw --model.optimisation.lr 1e-4 --model.optimisation.new_layers_lr 3
--model.optimisation.schedule cosine --model.optimisation.warmup 0.05 --trainer.gradient_clip_val 10
--data CocoPhotos --data.train_photos images --data.train_annotations instances.json
--data.validation_photos validation/images --data.validation_annotations validation/instances.json
--data.resize 120 --data.max_size 160 --data.batch_size 2
--trainer.max_epochs 8 --trainer.check_val_every_n_epoch 4
"""


def train() -> Path:
    checkpoint = FOLDER / "run" / "checkpoints" / "last.ckpt"
    if not checkpoint.is_file():
        # Of the size at which blocks are read, so that photos of any larger size look alike.
        write_synthetic_scenes(FOLDER, photos=160, size=(240, 320))
        write_synthetic_scenes(FOLDER / "validation", photos=16, size=(240, 320), seed=1000)
        fit([*SETTINGS.split(), "--data.root", str(FOLDER), "--output", str(FOLDER / "run")])
    return checkpoint


def main() -> None:
    checkpoint = train()
    photo = FOLDER / "scene.jpg"
    synthetic_scene((420, 640), objects=5, seed=2003)[0].save(photo, quality=92)
    (result,) = find_objects([photo], checkpoint, output=FOLDER / "found", device="cpu")
    with Image.open(result["picture"]) as picture:
        picture.save(Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main()
