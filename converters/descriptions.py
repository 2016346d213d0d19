"""What artifacts say about themselves in prose, the same in every format that has room for it."""

from __future__ import annotations

from tinysam_mobile.contract.spec import LABEL_MEANINGS, PIXEL_MEAN, PIXEL_STD, Component

__all__ = ["AUTHOR", "COMPONENTS", "ENTRY_POINTS", "TENSORS"]

AUTHOR = "TinySAM (Shu et al., arXiv 2312.13789); converted by tinysam-mobile"
COMPONENTS = {
    Component.ENCODER: "TinySAM image encoder: once per photo, RGB pixels to an image embedding.",
    Component.DECODER: "TinySAM mask decoder: points, boxes or a mask on an encoded photo to masks.",
}
ENTRY_POINTS = {
    "encode": "Photo to image embedding, once per photo.",
    "decode": "One prompt, with or without a mask prompt, to its masks.",
    "decode_batch": "Several prompts on one photo to the masks of each.",
    "score_batch": "Many prompts on one photo, a point or a box each, to the predicted IoU of their masks.",
}
LABELS = "; ".join(f"{value} {meaning}" for value, meaning in LABEL_MEANINGS.items())
TENSORS = {
    "image": "Photo, RGB 0-255, resized so that its long side fills the square, at the top left. The graph "
    f"normalises it (mean {PIXEL_MEAN}, std {PIXEL_STD}): pass the pixels as they are.",
    "valid_size": "Height and width in pixels of the photo inside the square; the rest is not read.",
    "image_embeddings": "Image embedding, of `encode` for all that decodes.",
    "high_res_features_0": "Finest features of the photo, from `encode` to the decoders as they are.",
    "high_res_features_1": "Fine features of the photo, from `encode` to the decoders as they are.",
    "point_coords": "x, y of each prompt slot in pixels of the square.",
    "point_labels": f"Label of each prompt slot: {LABELS}.",
    "mask_input": "Logits of an earlier low_res_masks, if has_mask_input is 1.",
    "has_mask_input": "1 if mask_input is a prompt, else 0.",
    "low_res_masks": "Logits of the masks of each prompt: resize, crop to valid_size, then mask = logit > 0.",
    "iou_predictions": "Predicted IoU of each mask; the highest is the answer.",
    "object_scores": "Probability that the prompt is on an object at all.",
}
"""Meaning of every input and output of the contract by name."""
