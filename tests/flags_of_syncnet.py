"""Flags of run_syncnet.py and run_visualise.py: two values each, and their effect."""

import numpy as np
import torch

from models import weights
from models.files import sha256
from models.syncnet import SyncNet, SyncNetConfig
from pipeline.media import decode
from pipeline.store.files import write_json
from pipeline.store.workspace import Workspace
from pipeline.verdict.video import Shot
from tests.correct_kit import packets, verdict
from tests.flag_kit import NO_SUCH_DEVICE, Bench, read, row, where
from tests.synthetic import frame_count

TINY = SyncNetConfig(
    lip_size_px=48,
    lip_region_px=(80, 56, 112),
    grey=True,
    lip_widths=(4,) * 6,
    audio_widths=(4,) * 6,
    embedding_size=8,
    lip_kernels=(5, 3),
    lip_strides=(2, 1, 1),
)


def largest_batches(bench: Bench) -> list[int]:
    """Notes how many windows of lips the network is given at once, from now on."""
    sizes: list[int] = []
    forward = SyncNet.forward_lipfeat

    def noting(self: SyncNet, frames: torch.Tensor) -> torch.Tensor:
        sizes.append(len(frames))
        return forward(self, frames)

    bench.patch.setattr(SyncNet, "forward_lipfeat", noting)
    return sizes


def tiny_model(bench: Bench) -> str:
    """A weights file of an untrained network."""
    torch.manual_seed(0)
    path = bench.folder / "tiny.safetensors"
    weights.write_own(SyncNet(TINY), path, config=TINY)
    return str(path)


def _scored(bench: Bench, *flags: str, name: str = "work") -> Workspace:
    work = bench.results(name)
    bench.ran("run_syncnet", *where(work), *flags)
    return work


def _usual(bench: Bench) -> Workspace:
    return Workspace(bench.clips / "work", "face")


@row("run_syncnet", "data_dir")
def _(bench: Bench) -> None:
    one, other = bench.results("one"), bench.results("other")
    for work in (one, other):
        work.offsets_json.unlink()
    bench.ran("run_syncnet", "--data_dir", other.data_dir, "--reference", "face")
    assert other.offsets_json.is_file() and not one.offsets_json.is_file()


@row("run_syncnet", "reference")
def _(bench: Bench) -> None:
    work = bench.results(reference="another")
    work.offsets_json.unlink()
    assert bench.run("run_syncnet", "--data_dir", work.data_dir, "--reference", "face").code == 2
    bench.ran("run_syncnet", *where(work))
    assert work.offsets_json.is_file()


@row("run_syncnet", "videofile")
def _(bench: Bench) -> None:
    """A file with results is these; another is one clip, scored by itself."""
    work = bench.results()
    work.offsets_json.unlink()
    data = ("--data_dir", work.data_dir)
    alone = bench.ran("run_syncnet", *data, "--videofile", _usual(bench).crop(0)).out
    assert "00000.avi" in alone and "tracks in" not in alone
    assert not work.offsets_json.exists()
    assert "1 tracks in" in bench.ran("run_syncnet", *data, "--videofile", bench.face).out
    assert work.offsets_json.is_file()


@row("run_syncnet", "initial_model")
def _(bench: Bench) -> None:
    work = _scored(bench, "--initial_model", tiny_model(bench))
    (other,), (usual,) = work.read_offsets(), _usual(bench).read_offsets()
    assert usual["weights"] == "syncnet_small.safetensors"
    assert other["weights"] == "tiny.safetensors"
    assert other["weights_sha256"] == sha256(bench.folder / "tiny.safetensors")
    assert other["settings"]["initial_model"] == str(bench.folder / "tiny.safetensors")
    assert abs(other["min_dist"] - usual["min_dist"]) > 1


@row("run_syncnet", "batch_size")
def _(bench: Bench) -> None:
    """So many windows at once, with the same distances; there are 12 of lips, 10 at first."""
    dists = []
    for size, largest in ((5, 5), (20, 10)):
        sizes = largest_batches(bench)
        work = _scored(bench, "--batch_size", str(size), name=str(size))
        assert max(sizes) == largest and sum(sizes) == 12
        dists.append(work.read_distances()[0])
        bench.patch.undo()
    np.testing.assert_allclose(dists[0], dists[1], atol=2e-3)


@row("run_syncnet", "vshift")
def _(bench: Bench) -> None:
    """Seven shifts to each side are the middle fifteen columns of thirty-one."""
    [few], [many] = _scored(bench, "--vshift", "7").read_distances(), _usual(bench).read_distances()
    assert few.shape == (11, 15) and many.shape == (11, 31)
    np.testing.assert_allclose(few, many[:, 8:23], atol=1e-4)


@row("run_syncnet", "precision")
def _(bench: Bench) -> None:
    exact = _scored(bench, "--precision", "fp32", name="fp32")
    rough = _scored(bench, "--precision", "bf16", name="bf16")
    change = np.abs(exact.read_distances()[0] - rough.read_distances()[0]).max()
    assert 1e-3 < change < 2
    for work, name in ((exact, "fp32"), (rough, "bf16")):
        assert work.read_offsets()[0]["settings"]["precision"] == name


@row("run_syncnet", "verbose")
def _(bench: Bench) -> None:
    """The confidence of every window is printed, as many numbers as there are windows."""
    work = bench.results()
    assert "Framewise" not in bench.ran("run_syncnet", *where(work)).out
    output = bench.ran("run_syncnet", *where(work), "--verbose").out
    numbers = output.partition("Framewise conf: \n[")[2].partition("]")[0].split()
    assert len(numbers) == len(work.read_distances()[0])


@row("run_syncnet", "save_features")
def _(bench: Bench) -> None:
    clip = ("--data_dir", bench.folder / "none", "--videofile", _usual(bench).crop(0))
    bench.ran("run_syncnet", *clip)
    assert not list(bench.folder.iterdir())
    for name in ("a.npy", "b.npy"):
        bench.ran("run_syncnet", *clip, "--save_features", bench.folder / name)
        assert np.load(bench.folder / name).shape == (12, 256)
    suffixes = (".audio.npy", ".lip.npy", ".npy")
    assert {path.name for path in bench.folder.iterdir()} == {
        f"{stem}{suffix}" for stem in "ab" for suffix in suffixes
    }


def _judged(bench: Bench, *offsets_ms: float) -> None:
    """From now on videos of 0.64 s have this verdict; without offsets it is that none is reliable.

    Their own is near the level: a new detector or network makes it the one or the other.
    """
    shots = (Shot(0.0, 0.64, 40.0, True, (0,)),)
    by_hand = verdict(*offsets_ms, ends_s=(0.64,), shots=shots)
    bench.patch.setattr("run_syncnet.read_verdict", lambda _: by_hand)
    for module in ("stage", "again"):
        bench.patch.setattr(f"pipeline.correction.{module}.read_verdict", lambda _: by_hand)


@row("run_syncnet", "correct")
def _(bench: Bench) -> None:
    """A copy with moved sound; without a reliable offset none, and exit code 1."""
    work, out = bench.results(), bench.folder / "out.mp4"
    _judged(bench)
    untold = bench.run("run_syncnet", *where(work), "--correct", out)
    assert untold.code == 1 and "no offset of face is reliable" in untold.err and not out.exists()
    _judged(bench, 120)
    said = bench.ran("run_syncnet", *where(work), "--correct", out).out
    assert "The sound comes 120 ms later." in said and str(out) in said
    before, after = decode.read_audio(bench.face), decode.read_audio(out)
    assert np.corrcoef(after[1920:9000], before[: 9000 - 1920])[0, 1] > 0.95
    assert packets(out, "v") == packets(bench.face, "v")


@row("run_syncnet", "per_shot")
def _(bench: Bench) -> None:
    """The shot's own 40 ms, not the 120 of the video."""
    _judged(bench, 120)
    work, out = bench.results(), bench.folder / "out.mp4"
    said = bench.ran("run_syncnet", *where(work), "--correct", out, "--per_shot").out
    assert "The sound comes 40 ms later." in said


@row("run_syncnet", "standard")
def _(bench: Bench) -> None:
    """50 ms early keeps one and not the others; without a verdict nothing is kept or broken."""
    work = bench.results()
    _judged(bench)
    untold = bench.run("run_syncnet", *where(work), "--standard", "ebu")
    assert untold.code == 4 and "EBU R37" in untold.out and "cannot be told" in untold.out
    _judged(bench, 50)
    for standard, code, words in (("bt1359", 0, "detectable"), ("atsc", 3, "fail"), ("ebu", 3, "")):
        ended = bench.run("run_syncnet", *where(work), "--standard", standard)
        assert ended.code == code and words in ended.out, standard


@row("run_syncnet", "device")
def _(bench: Bench) -> None:
    work = _scored(bench, "--device", "cpu")
    assert work.read_offsets()[0]["settings"]["device"] == "cpu"
    refused = bench.run("run_syncnet", *where(work), "--device", NO_SUCH_DEVICE)
    assert refused.code == 2 and f"--device {NO_SUCH_DEVICE} is not available" in refused.err


@row("run_visualise", "data_dir")
def _(bench: Bench) -> None:
    one, other = bench.results("one"), bench.results("other")
    bench.ran("run_visualise", "--data_dir", other.data_dir, "--reference", "face")
    assert other.labelled_video.is_file() and not one.labelled_video.exists()


@row("run_visualise", "reference")
def _(bench: Bench) -> None:
    work = bench.results(reference="another")
    assert bench.run("run_visualise", "--data_dir", work.data_dir, "--reference", "face").code == 2
    assert str(work.labelled_video) in bench.ran("run_visualise", *where(work)).out


@row("run_visualise", "videofile")
def _(bench: Bench) -> None:
    """Its stem is the name where there is no other; nothing is read of it."""
    work = bench.results()
    data = ("--data_dir", work.data_dir)
    assert bench.run("run_visualise", *data, "--videofile", "other.mp4").code == 2
    bench.ran("run_visualise", *data, "--videofile", "/nowhere/face.mp4")
    assert work.labelled_video.is_file()


@row("run_visualise", "frame_rate")
def _(bench: Bench) -> None:
    """Unset it is that of the results."""
    work = bench.results()
    for flags, rate in (((), 25), (("--frame_rate", "50"), 50)):
        bench.ran("run_visualise", *where(work), *flags)
        assert decode.probe(work.labelled_video).frame_rate == rate
        assert frame_count(work.labelled_video) == 16
    record = read(work.record)
    record["settings"]["frame_rate"] = 10
    write_json(work.record, record)
    bench.ran("run_visualise", *where(work))
    assert decode.probe(work.labelled_video).frame_rate == 10
