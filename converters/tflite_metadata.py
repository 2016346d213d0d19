"""TFLite model metadata: what each input and output means, readable by tflite-support and Android's parser.

The metadata is a flatbuffer of its own (tflite-support's metadata_schema.fbs, file identifier M001) that
lies in the model as the entry `TFLITE_METADATA`; associated files follow the model as an uncompressed zip.
It is written here with the flatbuffers builder alone: the package tflite-support, which would do it, pins a
protobuf that no current SDK accepts.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import flatbuffers

from tinysam_mobile.contract.spec import Signature, TensorSpec
from tinysam_mobile.converters.descriptions import ENTRY_POINTS, TENSORS

__all__ = ["CONTRACT_FILE", "METADATA_NAME", "ModelDescription", "append_files", "build_metadata"]

METADATA_NAME = "TFLITE_METADATA"
CONTRACT_FILE = "contract.json"
FILE_IDENTIFIER = b"M001"
MIN_PARSER_VERSION = "1.0.0"
"""No field that came later than the first schema is used."""
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)

# Enumerators of metadata_schema.fbs.
FILE_TYPE_DESCRIPTIONS = 1
CONTENT_FEATURE, CONTENT_IMAGE = 1, 2
COLOR_SPACE_RGB = 1
OPTIONS_NORMALIZATION = 1

DIMENSIONS = {
    "image": ("batch", "channel", "height", "width"),
    "valid_size": ("height_and_width",),
    "image_embeddings": ("batch", "channel", "row", "column"),
    "high_res_features_0": ("batch", "position", "channel"),
    "high_res_features_1": ("batch", "position", "channel"),
    "point_coords": ("prompt", "slot", "x_and_y"),
    "point_labels": ("prompt", "slot"),
    "mask_input": ("batch", "mask", "height", "width"),
    "has_mask_input": ("batch",),
    "low_res_masks": ("prompt", "mask", "height", "width"),
    "iou_predictions": ("prompt", "mask"),
    "object_scores": ("prompt", "score"),
}


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What the metadata says about the whole file."""

    name: str
    description: str
    version: str
    author: str
    license: str


def build_metadata(description: ModelDescription, signatures: Sequence[Signature]) -> bytes:
    """Return the metadata flatbuffer of a file whose subgraphs answer `signatures`, in that order.

    Inputs and outputs are described in each signature's order, which must be that of the subgraph.
    """
    builder = flatbuffers.Builder(4096)
    subgraphs = _vector(builder, [_subgraph(builder, signature) for signature in signatures])
    files = _vector(builder, [_associated_file(builder)])
    model = _table(
        builder,
        {
            0: builder.CreateString(description.name),
            1: builder.CreateString(description.description),
            2: builder.CreateString(description.version),
            3: subgraphs,
            4: builder.CreateString(description.author),
            5: builder.CreateString(description.license),
            6: files,
            7: builder.CreateString(MIN_PARSER_VERSION),
        },
    )
    builder.Finish(model, file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def append_files(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """Return `model` followed by an uncompressed zip of `files`, where TFLite's readers look for them.

    Android's reader refuses compressed entries.  Time stamps are fixed: equal inputs give equal bytes.
    """
    stream = io.BytesIO(model)
    with zipfile.ZipFile(stream, "a", compression=zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=ZIP_EPOCH), content)
    return stream.getvalue()


def _table(
    builder: flatbuffers.Builder, offsets: Mapping[int, int], small: Mapping[int, int] | None = None
) -> int:
    """Write one table: `offsets` of children and `small` (8-bit) values by field number of the schema."""
    builder.StartObject(max([-1, *offsets, *(small or {})]) + 1)
    for field, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(field, offset, 0)
    for field, value in (small or {}).items():
        builder.PrependUint8Slot(field, value, 0)
    return int(builder.EndObject())


def _vector(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _floats(builder: flatbuffers.Builder, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())


def _associated_file(builder: flatbuffers.Builder) -> int:
    name = builder.CreateString(CONTRACT_FILE)
    text = builder.CreateString("The tensor contract as JSON: sizes, frames, label meanings, mask selection.")
    return _table(builder, {0: name, 1: text}, {2: FILE_TYPE_DESCRIPTIONS})


def _subgraph(builder: flatbuffers.Builder, signature: Signature) -> int:
    inputs = _vector(builder, [_tensor(builder, spec) for spec in signature.inputs])
    outputs = _vector(builder, [_tensor(builder, spec) for spec in signature.outputs])
    name, text = builder.CreateString(signature.name), builder.CreateString(ENTRY_POINTS[signature.name])
    return _table(builder, {0: name, 1: text, 2: inputs, 3: outputs})


def _tensor(builder: flatbuffers.Builder, spec: TensorSpec) -> int:
    fields = {
        0: builder.CreateString(spec.name),
        1: builder.CreateString(TENSORS[spec.name]),
        2: _vector(builder, [builder.CreateString(name) for name in DIMENSIONS[spec.name]]),
        3: _content(builder, spec),
    }
    if spec.name == "image":
        fields[4] = _vector(builder, [_identity_normalization(builder)])
        # TFLite's readers take one value per channel.
        fields[5] = _table(builder, {0: _floats(builder, [255.0] * 3), 1: _floats(builder, [0.0] * 3)})
    return _table(builder, fields)


def _content(builder: flatbuffers.Builder, spec: TensorSpec) -> int:
    if spec.name != "image":
        return _table(builder, {1: _table(builder, {}, {})}, {0: CONTENT_FEATURE})
    height, width = spec.shape[2:]
    builder.StartObject(2)
    builder.PrependUint32Slot(0, width, 0)
    builder.PrependUint32Slot(1, height, 0)
    size = int(builder.EndObject())
    return _table(builder, {1: _table(builder, {1: size}, {0: COLOR_SPACE_RGB})}, {0: CONTENT_IMAGE})


def _identity_normalization(builder: flatbuffers.Builder) -> int:
    """A processing unit that says (pixel − 0) / 1: the app must not normalise, the graph does."""
    mean, std = _floats(builder, [0.0]), _floats(builder, [1.0])
    return _table(builder, {1: _table(builder, {0: mean, 1: std})}, {0: OPTIONS_NORMALIZATION})
