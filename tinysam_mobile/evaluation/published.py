"""Figures that others have published, as reference rows of a comparison: other machines, other data."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PUBLISHED", "PublishedModel"]

TINYSAM_PAPER = "arXiv 2312.13789 v3, COCO val 2017 and LVIS v1 with ViTDet-H's boxes; MACs as it counts"
SURVEY = "a survey of efficient SAM variants, 100 COCO photos, RTX 3090"


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """One row; AP and mIoU from 0 to 1, MACs of one image and one prompt, times in milliseconds.

    `everything_ms` are those of a grid of so many points in each direction (32 also for a model's own
    sampling).
    """

    name: str
    source: str
    macs: float | None = None
    coco_ap: float | None = None
    lvis_ap: float | None = None
    miou_point: float | None = None
    everything_16_ms: float | None = None
    everything_32_ms: float | None = None
    everything_64_ms: float | None = None
    photo_1_box_ms: float | None = None


PUBLISHED = (
    PublishedModel(name="SAM-H", source=TINYSAM_PAPER, macs=2976e9, coco_ap=0.466, lvis_ap=0.447),
    PublishedModel(name="SAM-L", source=TINYSAM_PAPER, macs=1491e9, coco_ap=0.462, lvis_ap=0.435),
    PublishedModel(name="SAM-B", source=TINYSAM_PAPER, macs=487e9, coco_ap=0.434, lvis_ap=0.408),
    PublishedModel(name="FastSAM", source=TINYSAM_PAPER, macs=443e9, coco_ap=0.379, lvis_ap=0.345),
    PublishedModel(name="EfficientSAM-Ti", source=TINYSAM_PAPER, macs=106e9, coco_ap=0.423, lvis_ap=0.399),
    PublishedModel(name="SlimSAM-77", source=TINYSAM_PAPER, macs=51.7e9, coco_ap=0.413, lvis_ap=0.383),
    PublishedModel(name="MobileSAM", source=TINYSAM_PAPER, macs=42.0e9, coco_ap=0.410, lvis_ap=0.370),
    PublishedModel(name="TinySAM", source=TINYSAM_PAPER, macs=42.0e9, coco_ap=0.423, lvis_ap=0.389),
    PublishedModel(name="Q-TinySAM", source=TINYSAM_PAPER, macs=20.3e9, coco_ap=0.414, lvis_ap=0.385),
    PublishedModel(name="SAM-H (survey)", source=SURVEY, miou_point=0.536),
    PublishedModel(name="SAM2-B+", source=SURVEY, miou_point=0.543),
    PublishedModel(name="EfficientViT-SAM-XL1", source=SURVEY, miou_point=0.543),
    PublishedModel(name="EfficientViT-SAM-L0", source=SURVEY, everything_16_ms=258, everything_64_ms=3938),
    PublishedModel(name="EfficientSAM-S", source=SURVEY, everything_16_ms=1100, everything_32_ms=2290),
    PublishedModel(name="SAMfast-H", source=SURVEY, everything_32_ms=848),
    PublishedModel(name="MobileSAMv2", source=SURVEY, everything_32_ms=173),
    PublishedModel(name="FastSAM (survey)", source=SURVEY, everything_32_ms=196),
    PublishedModel(name="NanoSAM", source=SURVEY, photo_1_box_ms=20),
)
"""Tables of `TINYSAM_PAPER` (Table 1) and of `SURVEY`, whose times are on a GPU."""
