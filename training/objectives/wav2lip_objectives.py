"""The losses of Wav2Lip: the expert's, the generator's, the discriminator's.

After "A lip sync expert is all you need" (Prajwal et al., 2020). The expert is always in eval mode
and frozen while a generator learns from it, and every frame's sound is placed in training as it is
in inference: both are slips of the published training code.
"""

import functools
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from models import wav2lip
from models.speech2vid import MouthNetwork
from models.syncnet import SyncNet
from models.wav2lip import FACE_PX, SyncNetColor, Wav2Lip, Wav2LipDiscriminator
from pipeline.dubbing.blend import mouth_mask
from training.batches.expert_excerpts import ExpertBatch
from training.batches.face_batches import FaceBatch
from training.batches.speech2vid_batches import Speech2VidBatch
from training.objectives.lip_judge import judge_loss
from training.objectives.structure import RADIUS_PX, fine_contrast, ssim

LEAST_CONTRAST = 1 / 255  # of a real mouth; below, noise of a codec is all there is
SHARPER = 16.0  # cosines are multiplied by it before a softmax


@dataclass(frozen=True)
class LossWeights:
    """What counts how much; in the generator's loss the rest goes to L1.

    Attributes:
        sync: the expert's; 0 until it is switched on.
        adversarial: the discriminator's.
        mouth: how much more than elsewhere a pixel of the mouth counts in L1; published: 0.
        structure: of 1 - SSIM of the mouth; published: 0.
        detail: of how far its fine contrast is from the real one's; published: 0.
        taught: of the distance to the SyncNet's sound embeddings.
        pairs: of the expert's own loss on pairs, beside the teacher's; 0 at first.
        apart: windows from which on sound of the same excerpt is wrong for the expert; those
            between count as neither.
    """

    sync: float = 0.0
    adversarial: float = 0.0
    mouth: float = 0.0
    structure: float = 0.0
    detail: float = 0.0
    taught: float = 0.0
    pairs: float = 1.0
    apart: int = 1


def expert_loss(
    expert: SyncNetColor,
    batch: ExpertBatch,
    *,
    translation: nn.Linear | None = None,
    pairs: float = 1.0,
    apart: int = 1,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Loss of lips against every sound of the batch.

    The published loss, binary cross-entropy of the cosine, over all pairs: right ones weigh one
    half, wrong ones of the same excerpt and of other clips a quarter each. To it comes the
    question which of the excerpt's sounds belongs to the window: without it the cosine, which is
    near one for everything at first, stays there for hundreds of steps.

    Args:
        expert: in training.
        batch: of excerpts.
        translation: from the expert's vectors to those it is taught; None without a teacher.
        pairs: weight of the question itself beside the teacher's answer.
        apart: windows from which on sound of the same excerpt is wrong; those between count as
            neither.

    Returns:
        The loss, and its parts without gradients: "accuracy" is the share of pairs told right at
        a cosine of 0.5, half of them right ones and half wrong ones of the same excerpt; "taught"
        how well what sets the windows of an excerpt apart agrees with the teacher, as a cosine.
    """
    excerpts, windows = batch.faces.shape[:2]
    mouths = F.normalize(expert.face_encoder(batch.faces.flatten(0, 1)).flatten(1).float())
    sound = F.normalize(expert.audio_encoder(batch.mels.flatten(0, 1)).flatten(1).float())
    with torch.autocast(mouths.device.type, enabled=False):  # half of the digits make 0.998 a 1
        cosine = mouths @ sound.T
    right = torch.eye(len(cosine), dtype=torch.bool, device=cosine.device)
    number = torch.arange(excerpts, device=cosine.device).repeat_interleave(windows)
    at = torch.arange(windows, device=cosine.device)
    away = (at[:, None] - at).abs()
    near = (number[:, None] == number) & (away >= apart).repeat(excerpts, excerpts)
    far = number[:, None] != number
    # Rounding can carry a cosine past 1, where the logarithm is not defined.
    inside = cosine.clamp(1e-6, 1 - 1e-6)
    unlikely = -torch.log1p(-inside)
    wrong = unlikely[near].mean()
    if excerpts > 1:
        wrong = (wrong + unlikely[far].mean()) / 2
    loss = (wrong - inside[right].log().mean()) / 2

    excerpt = torch.arange(excerpts, device=cosine.device)
    own = cosine.view(excerpts, windows, excerpts, windows)[excerpt, :, excerpt]
    own = own.masked_fill((away > 0) & (away < apart), -torch.inf)
    targets = torch.arange(windows, device=cosine.device).repeat(excerpts)
    forward = F.cross_entropy((own * SHARPER).flatten(0, 1), targets)
    backward = F.cross_entropy((own * SHARPER).transpose(1, 2).flatten(0, 1), targets)
    accuracy = ((cosine[right] > 0.5).float().mean() + (cosine[near] <= 0.5).float().mean()) / 2
    loss = pairs * (loss + (forward + backward) / 2)
    parts = {"accuracy": accuracy.detach()}
    if translation is not None:
        translated = translation(torch.stack([mouths, sound], dim=1)).float()
        alike = _alike_in_excerpt(translated.unflatten(0, (excerpts, windows)), batch.taught).mean()
        loss = loss + 2 * (1 - alike)
        parts["taught"] = alike.detach()
    return loss, parts


def _alike_in_excerpt(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Cosines of (B, W, 2, E) vectors less the mean of their excerpt.

    What windows of an excerpt have in common is most of every vector and says nothing about
    timing; with it, the mouths' half learns that mean and stays there.
    """
    one, other = (vectors - vectors.mean(dim=1, keepdim=True) for vectors in (one, other))
    return F.cosine_similarity(one, other, dim=3)


def draw(generator: MouthNetwork, batch: FaceBatch | Speech2VidBatch) -> torch.Tensor:
    """The generator's faces (B, 5, 3, 96, 96) for the sound of the target."""
    inputs = torch.cat([wav2lip.without_mouths(batch.target), batch.reference], dim=2)
    if isinstance(batch, Speech2VidBatch):
        five: torch.Tensor = generator(batch.cepstra, inputs)
        return five
    faces = generator(batch.mels.flatten(0, 1), inputs.flatten(0, 1))
    return faces.unflatten(0, batch.target.shape[:2])


def sync_loss(expert: SyncNetColor, generated: torch.Tensor, batch: FaceBatch) -> torch.Tensor:
    """How little the expert believes that drawn lips say the sound: -log cosine."""
    sound, mouths = expert(batch.mels[:, 0], wav2lip.expert_faces(generated.float()))
    cosine = (sound.float() * mouths.float()).sum(dim=1)
    return -cosine.clamp(1e-6, 1).log().mean()


def taught_loss(
    generator: Wav2Lip, batch: FaceBatch, translation: nn.Linear
) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance of the generator's sound features to a SyncNet's, and their mean cosine.

    A face says more of itself than its sound does: without this the generator does not listen for
    thousands of steps.
    """
    embeddings = generator.audio_encoder(batch.mels.flatten(0, 1)).flatten(1)
    translated = translation(embeddings).float()
    alike = F.cosine_similarity(translated, batch.taught.flatten(0, 1), dim=1).mean()
    return 1 - alike, alike.detach()


@functools.cache
def _pixel_weights(mouth: float, device: torch.device) -> torch.Tensor:
    """(96, 96) weights of mean 1: only mouth and jaw are taken from a generated face."""
    weights = 1 + mouth * _mouth(device)
    return weights / weights.mean()


@functools.cache
def _mouth(device: torch.device) -> torch.Tensor:
    """(96, 96) mask of the pixels that run_wav2lip.py takes from a generated face."""
    return torch.from_numpy(mouth_mask(FACE_PX, FACE_PX)).to(device)


def structure_loss(generated: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - structural similarity, where the mouth mask counts.

    L1 is content with a smooth mouth that is never far off; this asks for edges and contrast where
    the real mouth has them ("Loss functions for image restoration", Zhao et al., 2017).
    """
    (one, other), mask = _lower_halves(generated, target)
    with torch.autocast(generated.device.type, enabled=False):
        alike = ssim(one, other).mean(dim=(0, 1))
    return 1 - (alike * mask).sum() / mask.sum()


def detail_loss(generated: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """By which share the mouth's fine contrast is off, wherever in the mouth it is.

    What cannot be known from sound and another frame, where a tooth or a hair of the beard is,
    any loss of pixels answers with a blur. This one is content with the right amount of it.
    """
    (one, other), mask = _lower_halves(generated, target)
    with torch.autocast(generated.device.type, enabled=False):
        target_detail = fine_contrast(other, mask).clamp(min=LEAST_CONTRAST)
        return (1 - fine_contrast(one, mask) / target_detail).abs().mean()


def _lower_halves(*faces: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """(B, 5, 3, 96, 96) faces to (5 B, 3, rows, 96) float32, and the mouth's mask (rows, 96)."""
    top = FACE_PX // 2 - 1 - RADIUS_PX  # the mask begins at half height, windows reach further
    lower = [some.flatten(0, 1)[:, :, top:].float() for some in faces]
    return lower, _mouth(faces[0].device)[top:]


def _learnt(weight: float) -> torch.set_grad_enabled:
    """A part that does not count is reported, but not differentiated."""
    return torch.set_grad_enabled(torch.is_grad_enabled() and weight > 0)


def generator_loss(
    generated: torch.Tensor,
    batch: FaceBatch | Speech2VidBatch,
    weights: LossWeights,
    *,
    expert: SyncNetColor | SyncNet | None,
    discriminator: Wav2LipDiscriminator | None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The generator's loss and its parts.

    Args:
        generated: of `draw`.
        batch: it was drawn from.
        weights: of the parts.
        expert: frozen, in eval mode; a SyncNet that judges a Speech2Vid; None where there is
            none yet.
        discriminator: None without an adversarial part.

    Returns:
        The loss, and its parts as far as there are, detached: "l1", "structure", "detail", "sync",
        "adversarial".
    """
    error = (generated.float() - batch.target).abs()
    l1 = (error * _pixel_weights(weights.mouth, error.device)).mean()
    loss = (1 - weights.sync - weights.adversarial) * l1
    parts = {"l1": error.mean().detach()}
    with _learnt(weights.structure):
        unlike = structure_loss(generated, batch.target)
    with _learnt(weights.detail):
        unsharp = detail_loss(generated, batch.target)
    loss = loss + weights.structure * unlike + weights.detail * unsharp
    parts |= {"structure": unlike.detach(), "detail": unsharp.detach()}
    if expert is not None:
        with _learnt(weights.sync):
            if isinstance(batch, Speech2VidBatch):
                assert isinstance(expert, SyncNet) and batch.judged is not None
                sync = judge_loss(expert, generated, batch.target, batch.judged)
            else:
                assert isinstance(expert, SyncNetColor)
                sync = sync_loss(expert, generated, batch)
        loss = loss + weights.sync * sync
        parts["sync"] = sync.detach()
    if discriminator is not None:
        fooled = _cross_entropy(discriminator(generated.flatten(0, 1)), real=True)
        loss = loss + weights.adversarial * fooled
        parts["adversarial"] = fooled.detach()
    return loss, parts


def discriminator_loss(
    discriminator: Wav2LipDiscriminator, generated: torch.Tensor, batch: FaceBatch
) -> torch.Tensor:
    """Real faces are real, drawn ones are not."""
    real = discriminator(batch.target.flatten(0, 1))
    fake = discriminator(generated.detach().flatten(0, 1))
    return _cross_entropy(real, real=True) + _cross_entropy(fake, real=False)


def _cross_entropy(probability: torch.Tensor, *, real: bool) -> torch.Tensor:
    """As F.binary_cross_entropy, which mixed precision refuses on CUDA."""
    inside = probability.float().clamp(1e-6, 1 - 1e-6)
    return -(inside if real else 1 - inside).log().mean()
