"""One clip as a lip-sync network describes it: embeddings, and what its sound is like."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from pipeline.sync import offset
from pipeline.verdict.traits import UNKNOWN_SOUND, SoundTraits


@dataclass(frozen=True)
class EmbeddedSound:
    """The sound of one clip.

    Attributes:
        samples: how many it has, at 16000 per second.
        audible_share: of its frames, those within 35 dB of the loudest.
        embeddings: (windows, E) float32.
        traits: what it is like.
        is_silent: (windows,) bool, which lie in a long silence.
    """

    samples: int
    audible_share: float
    embeddings: torch.Tensor
    traits: SoundTraits
    is_silent: np.ndarray


@dataclass(frozen=True)
class Embedded:
    """One clip as the network describes it.

    Attributes:
        frames: how many it has, at 25 per second.
        samples: how many it has, at 16000 per second.
        has_sound: (windows,) bool, which windows have sound to compare with.
        audible_share: of the sound's frames, those within 35 dB of the loudest.
        picture_late_s: by how much pictures stand later than the source shows them, in the mean.
        lips, sound: (windows, E) float32, window by window; `offset.window_count` says how many.
        features: (frames - 4, F) float32, lip features before the head; None unless asked for.
        sound_traits: what its sound is like.
        is_silent: (windows,) bool, which lie in a long silence; None where that is not known.
    """

    frames: int
    samples: int
    has_sound: np.ndarray
    audible_share: float
    picture_late_s: float
    lips: torch.Tensor
    sound: torch.Tensor
    features: torch.Tensor | None
    sound_traits: SoundTraits = UNKNOWN_SOUND
    is_silent: np.ndarray | None = None

    def centred_on(self, offset_frames: int) -> "Embedded":
        """The same with its sound moved so that this offset has become 0.

        Args:
            offset_frames: by how many frames the sound leads (> 0) or lags (< 0) now.
        """
        count = len(self.has_sound)
        source = np.arange(count) - offset_frames
        inside = (source >= 0) & (source < count)
        source = source.clip(0, max(0, count - 1))
        sound = self.sound[source] * torch.from_numpy(inside)[:, None]
        return replace(self, sound=sound, has_sound=inside & self.has_sound[source])


def join(
    lips: torch.Tensor,
    sound: EmbeddedSound,
    *,
    frames: int,
    missing_s: Sequence[tuple[float, float]] = (),
) -> Embedded:
    """Lips and sound of one face, window by window.

    Args:
        lips: (frames - 4, E), of a `LipEmbedder`.
        sound: from the first frame on.
        frames: how many the embedder was given.
        missing_s: (start, end) of stretches without sound, seconds.
    """
    windows = offset.window_count(frames, sound.samples)
    return Embedded(
        frames=frames,
        samples=sound.samples,
        has_sound=offset.windows_with_sound(missing_s, windows),
        audible_share=sound.audible_share,
        picture_late_s=0.0,
        lips=lips[:windows],
        sound=sound.embeddings[:windows] if windows else lips[:0],
        features=None,
        sound_traits=sound.traits,
        is_silent=sound.is_silent[:windows],
    )


def cut_from_video(
    embedded: Embedded,
    *,
    missing_s: Sequence[tuple[float, float]] = (),
    picture_late_s: float = 0.0,
) -> Embedded:
    """The same, with what is known of the video it was cut from.

    Args:
        embedded: lips and sound of the clip.
        missing_s: (start, end) of stretches without recorded sound, seconds of the clip.
        picture_late_s: by how much its pictures stand later than the video shows them, in the mean.
    """
    has_sound = offset.windows_with_sound(missing_s, len(embedded.has_sound))
    return replace(
        embedded,
        has_sound=embedded.has_sound & has_sound,
        picture_late_s=embedded.picture_late_s + picture_late_s,
    )
