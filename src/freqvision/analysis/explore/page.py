"""The page of `freqvision explore`: Gradio's components around what `photo.py` computes."""

import base64
import io
from pathlib import Path
from typing import Any

import gradio as gr
from jinja2 import Template
from PIL import Image

from freqvision.analysis.explore.photo import (
    SIDES,
    Photo,
    Reader,
    block_of,
    board,
    byte_counts,
    open_photo,
    rebuild,
    received,
)
from freqvision.analysis.figures import picture
from freqvision.analysis.scores import ChannelScores, channel_name
from freqvision.detection.scenes import synthetic_scene
from freqvision.inputs.spec import FrequencySpec
from freqvision.jpeg.errors import JpegError
from freqvision.spectrum.channels import COMPONENTS, FREQUENCIES, PRESET_SIZES, ChannelSet

HERE = Path(__file__).parent
PARTS: Any = Template((HERE / "parts.html").read_text(encoding="utf-8"), autoescape=True).module
LAUNCH: dict[str, Any] = {
    "theme": gr.themes.Default(  # in fonts that systems have: none is fetched
        primary_hue="orange",
        neutral_hue="zinc",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ),
    "css_paths": HERE / "page.css",
    "footer_links": [],
    "run_history": False,
    "max_file_size": "64mb",
    "ssr_mode": False,
    "quiet": True,
}


def page(reader: Reader | None = None) -> gr.Blocks:
    """The page, with what a model sees if there is one; started by ``page(reader).launch(**LAUNCH)``."""
    # Whole photos, of a panorama no more than three times its shorter side.
    whole = {str(side): FrequencySpec(side, None, max_size=3 * side) for side in SIDES}
    specs = reader.specs if reader else whole

    def opened(contents: bytes | None, size: str, text: str) -> list[Any]:
        """A photo or another size: everything anew, or a sentence."""
        try:
            photo = open_photo(contents or _first(), specs[size])
            strongest = int(photo.cube[1:FREQUENCIES].abs().sum(0).argmax())  # the block with most detail
            seen: dict[str, Any] = {"photo": photo, "block": divmod(strongest, photo.cube.shape[2])}
            seen |= {"scores": None, "lists": {}}
            if reader:
                seen["scores"] = reader.needed(photo)
                name = f"all {len(seen['scores'].channels)} channels"
                seen["lists"] = {
                    "RGB pixels": reader.rgb_answers(photo),
                    name: reader.answers(photo, photo.cube),
                }
        except JpegError as error:
            return [PARTS.alert(error), *[gr.skip()] * 7]
        changes = changed(seen, text)
        return [changes[0], seen, *changes[1:]]

    def changed(seen: dict[str, Any], text: str) -> list[Any]:
        """Other channels, typed or from a preset."""
        try:
            if text.strip().endswith(".json"):  # which would be read from the machine that serves
                raise ValueError("files of channels are not read here: paste what is in it")
            kept = ChannelSet.parse(text)
        except ValueError as error:
            return [PARTS.alert(f"{error}."), *[gr.skip()] * 6]
        return [*shown(seen, kept), _boards(seen["photo"], kept, seen["scores"])]

    def toggled(event: gr.EventData, seen: dict[str, Any]) -> list[Any]:
        """Other channels, from the boards, which show them already."""
        return shown(seen, ChannelSet(tuple(int(index) for index in event.kept)))

    def shown(seen: dict[str, Any], kept: ChannelSet) -> list[Any]:
        photo = seen["photo"]
        cube = received(photo, kept)
        rebuilt, psnr = rebuild(photo, cube)
        seen |= {"rebuilt": rebuilt, "kept": kept}
        lists = dict(seen["lists"])
        if reader:
            lists[f"{len(kept)} kept"] = reader.answers(photo, cube, kept)
        images = (_uri(picture(image), "JPEG") for image in (photo.pixels, rebuilt))
        return [
            "",
            str(kept),
            PARTS.pictures(photo, *images, len(kept), psnr, seen["block"]),
            _block(seen),
            PARTS.bars(byte_counts(photo, kept)),
            PARTS.answers(lists),
        ]

    def moved(event: gr.EventData, seen: dict[str, Any]) -> str:
        """Another block of the photo."""
        sides = zip(event.block, seen["photo"].cube.shape[1:], strict=True)
        seen["block"] = tuple(min(max(int(place), 0), side - 1) for place, side in sides)
        return _block(seen)

    def needed_most(seen: dict[str, Any]) -> str:
        """As many channels as are kept."""
        scores = seen["scores"]
        return str(scores.top(min(len(seen["kept"]) or 24, len(scores.channels)), allow_ties=True))

    plain: dict[str, Any] = {"apply_default_css": False}
    active: dict[str, Any] = {**plain, "js_on_load": (HERE / "page.js").read_text(encoding="utf-8")}
    with gr.Blocks(title="freqvision explore", analytics_enabled=False, delete_cache=(3600, 3600)) as blocks:
        state = gr.State(None)  # of a tab
        gr.HTML(PARTS.head(), elem_id="head", **plain)
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                file = gr.File(label="Photo", type="binary", height=150, elem_id="file")
                size = gr.Radio(list(specs), value=list(specs)[len(specs) // 2], label="Size in pixels")
                message = gr.HTML(elem_id="message", **plain)
                counts = gr.HTML(elem_id="counts", **plain)
            with gr.Column(scale=3, min_width=320):
                pictures = gr.HTML(elem_id="pictures", **active)
                block = gr.HTML(elem_id="block", **plain)
        answers = gr.HTML(elem_id="answers", visible=reader is not None, **plain)
        with gr.Row(elem_id="presets"):
            presets = [gr.Button(str(name), size="sm", min_width=44) for name in (*PRESET_SIZES, "none")]
            needed = gr.Button("needed most", size="sm", min_width=110, visible=reader is not None)
        boards = gr.HTML(elem_id="boards", **active)
        text = gr.Textbox("24", label="Kept channels, as --channels takes them", elem_id="channels")

        results = [message, text, pictures, block, counts, answers]
        private: dict[str, Any] = {"api_visibility": "private"}
        quiet = {**private, "show_progress": "hidden", "trigger_mode": "always_last"}
        for event in (blocks.load, file.upload, size.change):
            event(opened, [file, size, text], [message, state, *results[1:], boards], **private)
        boards.input(toggled, state, results, **quiet)
        pictures.select(moved, state, block, **quiet)
        text.submit(changed, [state, text], [*results, boards], **quiet)
        for button in presets:
            name = button.click(lambda label=button.value: label, None, text, **private)
            name.then(changed, [state, text], [*results, boards], **quiet)
        needed.click(needed_most, state, text, **quiet).then(
            changed, [state, text], [*results, boards], **quiet
        )
    return blocks


def _first() -> bytes:
    """What is shown until a photo is dropped."""
    file = io.BytesIO()
    synthetic_scene((480, 640), 5, seed=3)[0].save(file, "JPEG", quality=85)
    return file.getvalue()


def _uri(image: Image.Image, kind: str = "PNG") -> str:
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def _block(seen: dict[str, Any]) -> str:
    before, after, luma = block_of(seen["photo"], seen["rebuilt"], *seen["block"])
    images = (_uri(picture(pixels)) for pixels in (before, after))
    return PARTS.one(*images, luma.tolist(), seen["kept"], seen["block"])


def _boards(photo: Photo, kept: ChannelSet, scores: ChannelScores | None) -> str:
    maps = [board(photo, component) for component in range(len(COMPONENTS))]
    titles = [
        f"{channel_name(index)}: mean magnitude {strength:.1f}"
        for index, strength in enumerate(photo.cube.abs().mean((1, 2)).tolist())
    ]
    heat = [0.0] * len(titles)
    if scores:
        most, total = max(scores.scores) or 1, sum(scores.scores) or 1
        for index, score in zip(scores.channels, scores.scores, strict=True):
            heat[index] = (score / most) ** 0.3  # the mean of the photo outweighs all others
            titles[index] += f", {score / total:.1%} of what the answer needs"
    named = [(name, _uri(image), *image.size) for name, image in zip(COMPONENTS, maps, strict=True)]
    return PARTS.boards(named, list(zip(titles, heat, strict=True)), kept, scores is not None)
