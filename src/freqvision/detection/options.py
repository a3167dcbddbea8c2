"""Settings of a detector."""

from dataclasses import asdict, dataclass
from typing import Any

NORMS = ("frozen", "batch")


@dataclass(frozen=True)
class DetectorOptions:
    """Settings of a detector. None is torchvision's default, except for `norm`.

    Args:
        norm: Normalisation in the backbone: "frozen" (statistics and gains stay those of the pretrained
            weights, as detectors are usually trained) or "batch" (statistics of the batch, learnt gains).
            None is "frozen" if all of the backbone is pretrained, else "batch".
        score_threshold: Detections with lower scores are left out.
        nms_threshold: Of two boxes of a class with a greater intersection over union, the better one stays.
        detections: Most detections per image.
        samples: R-CNNs only: regions per image sampled for the heads' loss; at most a quarter of them are
            objects, whose masks cost most. Fewer than torchvision's 512 suit small machines.

    Raises:
        ValueError: A value is illegal.
    """

    norm: str | None = None
    score_threshold: float | None = None
    nms_threshold: float | None = None
    detections: int | None = None
    samples: int | None = None

    def __post_init__(self) -> None:
        if self.norm is not None and self.norm not in NORMS:
            raise ValueError(f"norm is one of {', '.join(NORMS)}, or None; got {self.norm!r}")
        for name in ("score_threshold", "nms_threshold"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} is between 0 and 1; got {value}")
        for name in ("detections", "samples"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is a number of boxes, 1 or more; got {value}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, which `create_detector` also takes."""
        return asdict(self)

    def arguments(self, prefix: str = "") -> dict[str, float]:
        """Those that are set, by torchvision's names, which begin with ``box_`` in R-CNNs."""
        if self.samples is not None and not prefix:
            raise ValueError("samples are regions, which fasterrcnn and maskrcnn have: leave it out")
        names = {
            "score_thresh": self.score_threshold,
            "nms_thresh": self.nms_threshold,
            "detections_per_img": self.detections,
            "batch_size_per_image": self.samples,
        }
        return {prefix + name: value for name, value in names.items() if value is not None}
