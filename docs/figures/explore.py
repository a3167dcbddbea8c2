"""Draw `explore.png`: the page of `freqvision explore`, as a browser shows it.

python docs/figures/explore.py --weights DEFAULT

The photo ships with matplotlib: Grace Hopper, by the U.S. Navy, in the public domain.
Needs playwright and Chromium.
"""

import argparse
import io
import shutil
from pathlib import Path

import matplotlib.cbook
from PIL import Image
from playwright.sync_api import sync_playwright

from freqvision.analysis.explore.page import LAUNCH, page
from freqvision.cli.explore import reader_of

PHOTO = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)


def shoot(address: str) -> Image.Image:
    """The page with the photo, 24 channels kept, and what ResNet-50 says."""
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1180, "height": 900})
        tab.set_default_timeout(600_000)
        tab.goto(address)
        tab.get_by_text("Rebuilt from 24 of 192").wait_for()
        tab.set_input_files("#file input[type=file]", PHOTO)
        tab.get_by_text("512×600 pixels").wait_for()
        tab.mouse.move(0, 0)
        tab.add_style_tag(content="#block, #channels { display: none !important }")
        shot = tab.screenshot(full_page=True)
        browser.close()
    return Image.open(io.BytesIO(shot))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", default="DEFAULT", help="of an RGB ResNet-50: a file, or DEFAULT")
    parser.add_argument("--strides", default="standard")
    options = parser.parse_args()
    options.checkpoint, options.model, options.num_classes, options.fold = None, "resnet50", 1000, False
    blocks = page(reader_of(options))
    _, address, _ = blocks.launch(**LAUNCH, prevent_thread_lock=True)
    image = shoot(address).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    image.save(Path(__file__).with_name("explore.png"), optimize=True)
    blocks.close()
