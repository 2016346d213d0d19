"""Networks other than TinySAM's as students and teachers: what can learn does, what cannot says why."""

from __future__ import annotations

import pytest
import torch

from tests.small_families import SMALL
from tinysam_mobile.contract.spec import Label
from tinysam_mobile.distill.batches import Batch
from tinysam_mobile.distill.config import LossWeights, TeacherSettings, TrainConfig, TrainingStage
from tinysam_mobile.distill.learner import Learner
from tinysam_mobile.distill.prompts import Prompts
from tinysam_mobile.distill.step import Teachers, learn
from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.config import CONFIGS, TinySAMConfig, config_named
from tinysam_mobile.modeling.sam import TinySAM
from tinysam_mobile.modeling.stand_in import stand_in_model

SIZE = 128
STAGE = TrainingStage(steps=1, image_size=SIZE, photos=2, prompts=1)
TAUGHT = LossWeights(embedding=1.0, token=1.0, output=1.0)


def batch() -> Batch:
    """Two images of noise, a point in one and a box in the other, half of each image as the object."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.zeros(2, SIZE // 4, SIZE // 4)
    targets[:, :, : SIZE // 8] = 1
    return Batch(
        images=torch.randn(2, 3, SIZE, SIZE, generator=generator),
        prompts=Prompts(
            coords=torch.tensor([[[30.0, 60.0], [0.0, 0.0]], [[0.0, 0.0], [64.0, 128.0]]]),
            labels=torch.tensor(
                [[Label.FOREGROUND, Label.PAD], [Label.BOX_TOP_LEFT, Label.BOX_BOTTOM_RIGHT]],
                dtype=torch.int32,
            ),
        ),
        targets=targets,
    )


def learned(student: TinySAMConfig, losses: LossWeights, teacher: TinySAMConfig | None = None) -> Learner:
    """A student with the gradients of one step."""
    torch.manual_seed(0)
    learner = Learner(TinySAM(student), losses, teacher)
    config = TrainConfig(
        model=student.name,
        stores=("none",),
        stages=(STAGE,),
        losses=losses,
        teacher=TeacherSettings(checkpoint="none") if teacher else None,
    )
    teachers = Teachers(backbone=None, model=stand_in_model(teacher) if teacher else None)
    result = learn(learner, batch(), STAGE, config, torch.Generator().manual_seed(0), teachers)
    assert set(result.losses) >= set(losses.active)
    result.total.backward()
    return learner


@pytest.mark.parametrize("name", sorted(SMALL))
def test_every_weight_of_a_student_s_encoder_learns(name: str) -> None:
    encoder = learned(SMALL[name], LossWeights()).model.image_encoder
    still = [key for key, value in encoder.named_parameters() if value.grad is None or not value.grad.any()]
    assert not still


@pytest.mark.parametrize("name", SMALL)
def test_every_family_teaches(name: str) -> None:
    learner = learned(config_named("tiny-test"), TAUGHT, SMALL[name])
    for part in ("embedding", "token"):
        weight = learner.adapters[part].weight
        assert isinstance(weight, torch.nn.Parameter)
        assert weight.grad is not None
        assert torch.isfinite(weight.grad).all()


def test_what_a_student_cannot_is_refused() -> None:
    with pytest.raises(UsageError, match=r"losses\.backbone is for students with a TinyViT"):
        Learner(TinySAM(SMALL["small-edgesam"]), LossWeights(backbone=1.0))
    with pytest.raises(UsageError, match="slimsam-77 has a position embedding for 1024 px alone"):
        Learner(TinySAM(CONFIGS["slimsam-77"].at_image_size(256)), LossWeights())
