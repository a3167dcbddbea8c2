"""`freqvision explore` as a Hugging Face Space: this folder is the whole Space.

MODEL names an RGB network of `freqvision info`; without it the page shows photos only.
"""

import os

import freqvision as fv
from freqvision.analysis.explore.page import LAUNCH, page
from freqvision.analysis.explore.photo import Reader
from freqvision.models import rgb_spec

name = os.environ.get("MODEL")
reader = Reader(fv.create_model(name, rgb_spec(name), weights="DEFAULT")) if name else None
demo = page(reader)

if __name__ == "__main__":
    demo.launch(**LAUNCH)
