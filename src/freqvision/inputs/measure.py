"""Photos → statistics: mean and deviation of every DCT channel, in one pass."""

import math
from collections.abc import Sequence

from freqvision.inputs.decoder import Decoder
from freqvision.inputs.spec import InputSpec
from freqvision.inputs.statistics import ChannelStatistics
from freqvision.jpeg.read import Source
from freqvision.runtime import batches, progress_bar
from freqvision.spectrum.channels import NUM_CHANNELS, ChannelSet


def collect_statistics(
    sources: Sequence[Source],
    spec: InputSpec,
    progress: bool = True,
    num_threads: int = 0,
    about: str | None = None,
) -> ChannelStatistics:
    """Statistics of all 192 channels over photos, in one pass, as this spec's evaluation shows them.

    Args:
        sources: Paths or contents of the photos.
        spec: Resize, crop and interpolation; its channels, statistics and type have no influence.
        progress: Show a progress bar.
        num_threads: Threads that decode, see `freqvision.runtime.threads_here`.
        about: What was measured, for people; None says how many photos at what size.

    Raises:
        ValueError: There is no photo.
        JpegError: A photo cannot be read; the message names it.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> from freqvision import FrequencySpec
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (80, 60), "teal").save(file, "JPEG")
        >>> spec = FrequencySpec(resize=64, crop=64)
        >>> collect_statistics([file.getvalue()], spec, progress=False).count
        64
    """
    if not len(sources):
        raise ValueError("there is no photo to collect statistics of")
    if about is None:
        about = f"{len(sources)} photos, resize {spec.resize}, crop {spec.crop}, {spec.interpolation}"
    decoder = Decoder(spec.raw(ChannelSet.preset(NUM_CHANNELS)), num_threads)
    # A batch's photos have one size; 8 million coefficients are 32 MB.
    size = 1 if decoder.spec.shape is None else max(1, 8_000_000 // math.prod(decoder.spec.shape))
    statistics: ChannelStatistics | None = None
    with progress_bar(total=len(sources), desc="statistics", unit="photo", shown=progress) as bar:
        for photos in batches(sources, size):
            batch = ChannelStatistics.of(decoder(photos), about=about)
            statistics = batch if statistics is None else statistics.merge(batch)
            bar.update(len(photos))
    assert statistics is not None
    return statistics
