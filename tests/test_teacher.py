"""What a new expert is taught: a SyncNet's embeddings of clips, kept for the next run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from models.syncnet import CROP_PX, SMALL, SyncNet
from pipeline.media import decode
from pipeline.sync import embeddings
from training.drawn_tracks import write_tracks
from training.objectives.teacher import embed_clips

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_tracks(tmp_path_factory.mktemp("drawn"), clips=2, seconds=0.6, seed=1)


def _network(seed: int) -> SyncNet:
    torch.manual_seed(seed)
    return SyncNet(SMALL).eval()


def test_embeddings_are_the_networks_and_are_found_again(files: list[Path], tmp_path: Path) -> None:
    """Unit vectors of lips and sound by the clip's name; other weights are asked themselves."""
    model, told = _network(1), []

    def embed(network: SyncNet, digest: str) -> dict[str, np.ndarray]:
        taught = embed_clips(
            files,
            network,
            digest=digest,
            cache=tmp_path / "cache",
            device=CPU,
            progress=lambda *words: told.append(words),
        )
        return {name: np.stack([one.lips, one.sound]) for name, one in taught.items()}

    first = embed(model, "one")
    assert [name.split("/")[-2] for name in first] == ["drawn000", "drawn001"]
    assert told == [("clips embedded by the teacher", done, 2) for done in (1, 2)]
    both = torch.from_numpy(next(iter(first.values()))).float()
    frames = decode.read_frames(files[0], frame_rate=None, size_px=(CROP_PX, CROP_PX))
    lips = embeddings.embed_lips(model, frames, batch_size=4, device=CPU)
    sound = embeddings.embed_sound(model, decode.read_audio(files[0]), batch_size=4, device=CPU)
    assert torch.allclose(both.norm(dim=2), torch.ones(()), atol=2e-3)
    size = both.shape[2]
    assert size == lips.shape[1] - bool(SMALL.embedding_scale)
    for taught, own in zip(both, (lips, sound), strict=True):
        alike = cosine_similarity(taught, own[: len(taught), :size].float(), dim=1)
        assert alike.min() > 0.999
    assert both.shape[1] == min(len(lips), len(sound))
    assert all(np.array_equal(embed(_network(2), "one")[name], first[name]) for name in first)
    assert not any(np.array_equal(embed(_network(2), "two")[name], first[name]) for name in first)
