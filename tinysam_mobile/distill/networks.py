"""The networks of a run: the one that it trains, and a wider one to learn from."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor, nn

from tinysam_mobile.distill.backbone import FEATURE_CHANNELS, features_of, pretrained_network
from tinysam_mobile.distill.config import TrainConfig, config_from_data
from tinysam_mobile.distill.run_state import RunState, read_state
from tinysam_mobile.errors import CheckpointError
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.config import config_named
from tinysam_mobile.modeling.layers import LayerNorm2d
from tinysam_mobile.modeling.sam import TinySAM

__all__ = ["averaged_model", "network_of", "starting_weights", "teacher_named"]


class WideEncoder(nn.Module):
    """EfficientNet-Lite0 before SAM's neck: f32 (G, 3, S, S) normalised → (G, dim, S/16, S/16).

    Its batch norms keep ImageNet's statistics: a step has too few photos for better ones.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.network = pretrained_network()
        self.neck = nn.Sequential(
            nn.Conv2d(FEATURE_CHANNELS, dim, 1, bias=False),
            LayerNorm2d(dim),
            nn.Conv2d(dim, dim, 3, padding=1, bias=False),
            LayerNorm2d(dim),
        )

    def train(self, mode: bool = True) -> WideEncoder:
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.neck(features_of(self.network, images, images.shape[-1] // 16))
        return out


def network_of(config: TrainConfig, image_size: int) -> TinySAM:
    """Return the network that a run trains, with random weights, at `image_size`."""
    model = TinySAM(config_named(config.model).at_image_size(image_size))
    if config.wide:
        model.image_encoder = WideEncoder(model.config.decoder.dim)
    return model


def averaged_model(state: RunState, config: TrainConfig, *, image_size: int | None = None) -> TinySAM:
    """Return the moving average of a run's network, in evaluation mode, at its own or another input size."""
    model = network_of(config, image_size or config_named(config.model).image_size)
    average = state.groups["average"]
    model.load_state_dict({name: average[f"model.{name}"] for name in model.state_dict()})
    return model.eval()


def teacher_named(name: str) -> TinySAM:
    """Return the network of a checkpoint file, or of a run's folder at its last input size."""
    if not Path(name).is_dir():
        return load_checkpoint(name).model
    state = read_state(Path(name))
    if state is None:
        raise CheckpointError(f"{name}: holds no training run; name a checkpoint or the folder of a run")
    config = config_from_data(TrainConfig, json.loads(state.config_json), where=name)
    return averaged_model(state, config, image_size=config.stages[-1].image_size)


def starting_weights(config: TrainConfig) -> dict[str, Tensor]:
    """Averaged weights of the run, or the weights of the checkpoint file, that `start_from` names.

    With `start_decoder_only` the encoder's are left out.
    """
    path = Path(config.start_from)
    if path.is_file():
        model = load_checkpoint(path).model
        if model.config != config_named(config.model):
            raise CheckpointError(
                f"{path}: holds a {model.config.name}, whose layers are not those of {config.model}"
            )
        weights = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    elif state := read_state(path):
        weights = dict(state.groups["average"])
    else:
        raise CheckpointError(f"{path}: start_from names neither a checkpoint nor the folder of a run")
    if config.start_decoder_only:
        weights = {name: value for name, value in weights.items() if "image_encoder." not in name}
    return weights
