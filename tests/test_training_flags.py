"""Every flag of the two training scripts does what its name says: two values, two results."""

import threading
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy.io import wavfile
from torch import nn

import train_syncnet
import train_wav2lip
from models import weights
from models.speech2vid import Speech2Vid
from models.syncnet import SyncNet
from models.wav2lip import SyncNetColor, Wav2Lip, Wav2LipConfig
from pipeline.store.workspace import Workspace
from tests.train_kit import TINY, run_main, watch_devices
from tests.training_flag_kit import FlagTable
from training.batches import excerpts
from training.batches.face_batches import FaceBatch
from training.drawn_tracks import write_track
from training.loop import checkpoint as checkpoint_files
from training.loop import fit
from training.loop.journal import Journal, read_rows
from training.objectives.contrastive import CosineBCE, DistanceBCE, Margin, MultiWay
from training.tasks import syncnet as syncnet_task
from training.tasks import syncnet_data, wav2lip_module
from training.tasks import wav2lip as wav2lip_task

FRAMES = 70
SHORT = replace(TINY, context_s=0.96)  # excerpts of 24 frames: six windows
NARROW = Wav2LipConfig(0.02)
SYNCNET, WAV2LIP = "train_syncnet.py", "train_wav2lip.py"
TABLE = FlagTable({SYNCNET: train_syncnet.build_parser, WAV2LIP: train_wav2lip.build_parser})


@dataclass
class Ran:
    """Record of a run.

    Attributes:
        folder: of the run.
        code, out, err: of the script.
        rows: of its log.
        run, task: network, optimiser, average; what is their own.
        data: it was made on.
        steps: batch and arguments of every step.
        saved: steps at which checkpoints were written.
        batch_clips: (step, made in the main thread, names of the clips drawn from) of every batch.
    """

    folder: Path
    code: int = 0
    out: str = ""
    err: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    run: Any = None
    task: Any = None
    data: Any = None
    steps: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    saved: list[int] = field(default_factory=list)
    batch_clips: list[tuple[int, bool, list[str]]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Of the clips trained on, without their data_dir's name."""
        real = [getattr(clip, "clip", clip).name for clip in self.clips]
        return sorted(name.partition("/")[2] for name in real)

    @property
    def clips(self) -> list[Any]:
        """Those trained on."""
        clips: list[Any] = getattr(self.task, "clips", None) or self.data.clips
        return clips

    @property
    def losses(self) -> list[float]:
        """Of the log."""
        return [row["loss"] for row in self.rows if "loss" in row]

    def at(self, name: str) -> list[int]:
        """Steps of the log's rows that have this number."""
        return [row["step"] for row in self.rows if name in row]


def _write(data_dir: Path, reference: str, seed: int, *, brightness: int | None = None) -> None:
    """A track of blurry noise, or of one brightness, with loud sound."""
    rng = np.random.default_rng(seed)
    work = Workspace(data_dir, reference)
    work.folder("pycrop").mkdir(parents=True)
    small = rng.integers(0, 255, (FRAMES, 14, 14, 3), dtype=np.uint8)
    pictures = small.repeat(16, axis=1).repeat(16, axis=2)
    if brightness is not None:
        pictures[:] = brightness
    write_track(work.crop(0), pictures, rng.integers(-9000, 9000, FRAMES * 640, dtype=np.int16))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data_dirs `tracks` (anna leads by 3 frames, confidence 2; carl unscored), `more`, `val`.

    Those of `val` are white. Beside them `pre`, a preprocessed_root of two videos, with its lists.
    """
    root = tmp_path_factory.mktemp("flags")
    _write(root / "tracks", "anna", 1)
    _write(root / "tracks", "carl", 2)
    _write(root / "more", "dora", 3)
    _write(root / "val", "emil", 4, brightness=250)
    _write(root / "val", "fred", 5, brightness=250)
    work = Workspace(root / "tracks", "anna")
    work.folder("pywork").mkdir(parents=True)
    work.offsets_text.write_text("FILENAME\tOFFSET\tCONF\n00000.avi\t3\t2.0\n")
    for name in ("gina", "hugo"):
        (root / "pre" / name / "0").mkdir(parents=True)
        picture = np.full((96, 96, 3), 100, np.uint8)
        for number in range(40):
            cv2.imwrite(str(root / "pre" / name / "0" / f"{number}.jpg"), picture)
        sound = np.tile(np.array([900, -900], np.int16), 20 * 640)
        wavfile.write(root / "pre" / name / "0" / "audio.wav", 16_000, sound)
    (root / "train.txt").write_text("hugo/0\n")
    (root / "val.txt").write_text("gina/0\n")
    torch.manual_seed(9)
    weights.write_own(SyncNet(SHORT), root / "own.safetensors", config=SHORT)
    weights.write_own(SyncNetColor(NARROW), root / "expert.safetensors", config=NARROW)
    weights.write_own(Wav2Lip(NARROW), root / "generator.safetensors", config=NARROW)
    return root


class Kit:
    """Runs the scripts in this process, on small networks, and watches.

    Unless `learns`, a step counts and computes nothing; unless `saves`, checkpoints are counted.
    """

    def __init__(
        self,
        folders: Path,
        tmp_path: Path,
        patch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.folders, self.tmp_path, self.patch, self.capsys = folders, tmp_path, patch, capsys
        self.count = 0
        self.devices = watch_devices(patch)
        patch.setattr(Journal, "draw", lambda _: None)
        patch.setattr(wav2lip_task, "UNSEEN_BATCHES", 1)
        patch.setattr(wav2lip_task, "UNSEEN_WINDOWS", 1)
        patch.setattr(syncnet_task, "SMALL", SHORT)
        self._originals = {
            name: getattr(module, attribute)
            for name, (module, attribute) in {
                "save": (checkpoint_files, "save_checkpoint"),
                "load": (syncnet_task, "load_data"),
                "faces": (wav2lip_task, "load_data"),
                "step": (fit, "train_step"),
                "draw": (excerpts, "draw_batch"),
                "batch": (wav2lip_task, "_batch"),
            }.items()
        }

    def _new(self) -> Ran:
        self.count += 1
        return Ran(self.tmp_path / f"run{self.count}")

    def _flags(self, ran: Ran, base: dict[str, Any], flags: tuple[Any, ...]) -> list[str]:
        named = [str(flag) for flag in flags]
        remaining = {name: value for name, value in base.items() if name not in named}
        words = [str(word) for item in remaining.items() for word in item if word is not None]
        return [*words, "--run", str(ran.folder), *named]

    def syncnet(
        self, *flags: Any, learns: bool = False, without: tuple[str, ...] = (), saves: bool = False
    ) -> Ran:
        """Two excerpts a step, one step, nobody drawn."""
        base: Any = {
            "--data": self.folders / "tracks",
            "--cache": self.folders / "cache",
        }
        base |= {"--drawn": 0, "--excerpts": 2, "--log_every": 1, "--device": "cpu"}
        base |= {"--steps": 1, "--workers": 0, "--warmup": 0, "--precision": "fp32"}
        base = {name: value for name, value in base.items() if name not in without}
        ran = self._new()

        def load(*rest: Any, **options: Any) -> Any:
            ran.data = self._originals["load"](*rest, **options)
            return ran.data

        def draw(clips: Any, *rest: Any, step: int) -> Any:
            main = threading.current_thread() is threading.main_thread()
            ran.batch_clips.append((step, main, [clip.name for clip in clips]))
            return self._originals["draw"](clips, *rest, step=step)

        def step(run: Any, batch: Any, **options: Any) -> dict[str, float]:
            ran.task, ran.run = run.task, run
            ran.steps.append((batch, options))
            if learns:
                learned: dict[str, float] = self._originals["step"](run, batch, **options)
                return learned
            run.step += 1
            return {"loss": 1.0, "accuracy": 0.5, "gradient": 1.0}

        self.patch.setattr(syncnet_task, "load_data", load)
        self.patch.setattr(excerpts, "draw_batch", draw)
        self.patch.setattr(fit, "train_step", step)
        return self._finish(ran, train_syncnet.main, self._flags(ran, base, flags), saves=saves)

    def wav2lip(
        self, *flags: Any, learns: bool = False, without: tuple[str, ...] = (), saves: bool = False
    ) -> Ran:
        """A generator without a teacher, one window a step; all parts of the loss but L1 off."""
        base: Any = {
            "--data": self.folders / "tracks",
            "--cache": self.folders / "cache",
        }
        base |= {"--stage": "generator", "--width": NARROW.width, "--batch_size": 1}
        base |= {"--steps": 1, "--workers": 0, "--warmup": 0, "--log_every": 1}
        base |= {"--device": "cpu", "--precision": "fp32", "--teacher": "none"}
        base |= {f"--{part}_weight": 0 for part in ("mouth", "structure", "detail", "taught")}
        base = {name: value for name, value in base.items() if name not in without}
        ran = self._new()

        def load(*rest: Any, **options: Any) -> Any:
            ran.data = self._originals["faces"](*rest, **options)
            return ran.data

        def draw(stage: str, clips: Any, **rest: Any) -> Any:
            if rest.get("augmented", True):
                main = threading.current_thread() is threading.main_thread()
                ran.batch_clips.append((rest["step"], main, [face.clip.name for face in clips]))
            return self._originals["batch"](stage, clips, **rest)

        def step(run: Any, batch: Any, **options: Any) -> dict[str, float]:
            ran.task, ran.run = run.task, run
            ran.steps.append((batch, options | {"weighted": run.task.weighted_at(run.step)}))
            if learns:
                learned: dict[str, float] = self._originals["step"](run, batch, **options)
                return learned
            run.step += 1
            return {"loss": 1.0, "gradient": 1.0}

        self.patch.setattr(wav2lip_task, "load_data", load)
        self.patch.setattr(wav2lip_task, "_batch", draw)
        self.patch.setattr(fit, "train_step", step)
        return self._finish(ran, train_wav2lip.main, self._flags(ran, base, flags), saves=saves)

    def _finish(self, ran: Ran, main: Any, flags: list[str], *, saves: bool) -> Ran:
        def save(path: Path, state: dict[str, Any]) -> None:
            ran.saved.append(int(state.get("step", state.get("global_step", -1))))
            if saves:
                self._originals["save"](path, state)

        self.patch.setattr(checkpoint_files, "save_checkpoint", save)
        ran.code, ran.out, ran.err = run_main(main, flags, self.capsys)
        ran.rows = read_rows(ran.folder / "train.jsonl")
        return ran

    def either(self, script: str, *flags: Any, **options: Any) -> Ran:
        """A run of the script of this name."""
        return (self.syncnet if script == SYNCNET else self.wav2lip)(*flags, **options)


@pytest.fixture
def kit(
    folders: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Kit:
    """Runs of this test."""
    return Kit(folders, tmp_path, monkeypatch, capsys)


def _same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def _picture(batch: Any) -> torch.Tensor:
    """The pictures of a batch of any kind."""
    return next(value for value in vars(batch).values() if isinstance(value, torch.Tensor))


# Flags that both have.


def _with(test: Any, script: str, kit: Any) -> None:
    test(kit, script)


def _both(flag: str) -> Any:
    def wrapper(test: Any) -> Any:
        for script in (SYNCNET, WAV2LIP):
            TABLE.row(script, flag)(partial(_with, test, script))
        return test

    return wrapper


@_both("data")
def _data(kit: Kit, script: str) -> None:
    both = ("--data", kit.folders / "tracks", kit.folders / "more")
    assert kit.either(script).names == ["anna/00000", "carl/00000"]
    ran = kit.either(script, *both)
    assert ran.names == ["anna/00000", "carl/00000", "dora/00000"]
    assert len(ran.batch_clips[0][2]) == 3


PRESETS = {SYNCNET: ("siamese", 1e-4, 1e-3), WAV2LIP: ("cosine_expert", 1e-4, 1e-3)}


@_both("preset")
def _preset(kit: Kit, script: str) -> None:
    name, of_preset, plain = PRESETS[script]
    for flags, lr in ((("--preset", name), of_preset), ((), plain)):
        ran = kit.either(script, *flags)
        options = [row["options"] for row in ran.rows if "options" in row]
        assert ran.steps[0][1]["lr"] == lr and bool(options) == (f"preset {name}" in ran.out)
        if flags:
            assert options == [ran.run.origin.options] and options[0]["preset"] == name
        assert bool(options) == bool(flags)


@_both("min_confidence")
def _min_confidence(kit: Kit, script: str) -> None:
    assert kit.either(script, "--min_confidence", 2).names == ["anna/00000", "carl/00000"]
    ran = kit.either(script, "--min_confidence", 2.1)
    assert ran.names == ["carl/00000"] and "low confidence (2.0)" in ran.out


@_both("max_offset")
def _max_offset(kit: Kit, script: str) -> None:
    ran = kit.either(script, "--max_offset", 3)
    assert ran.names == ["anna/00000", "carl/00000"]
    clips = [getattr(clip, "clip", clip) for clip in ran.clips]
    assert [clip.offset_ms for clip in clips] == [120.0, 0.0]
    ran = kit.either(script, "--max_offset", 2.9)
    assert ran.names == ["carl/00000"] and "too far apart (120 ms)" in ran.out


@_both("cache")
def _cache(kit: Kit, script: str) -> None:
    folder = kit.tmp_path / "elsewhere"
    ran = kit.either(script, "--cache", folder, "--val", kit.folders / "val")
    assert len(list(folder.glob("*.npy"))) == 8 and not (ran.folder / "cache").exists()
    ran = kit.either(script, "--val", kit.folders / "val", without=("--cache",))
    assert len(list((ran.folder / "cache").glob("*.npy"))) == 8


@_both("cache_gb")
def _cache_gb(kit: Kit, script: str) -> None:
    small = ("--cache", kit.tmp_path / "small", "--cache_gb")
    ran = kit.either(script, *small, 1e-6)
    assert ran.code == 2 and "cache full (--cache_gb" in ran.err
    assert kit.either(script, *small, 1).code == 0
    size = sum(path.stat().st_size for path in (kit.tmp_path / "small").iterdir())
    ran = kit.either(script, *small, size / 1e9, "--val", kit.folders / "val")
    assert ran.code == 2 and "cache full (--cache_gb" in ran.err  # clips of --val count, too


@_both("workers")
def _workers(kit: Kit, script: str) -> None:
    none, two = (kit.either(script, "--workers", n, "--steps", 2) for n in (0, 2))
    assert [main for _, main, _ in none.batch_clips] == [True, True]
    assert [main for _, main, _ in two.batch_clips] == [False, False]
    for (one, _), (other, _) in zip(none.steps, two.steps, strict=True):
        assert torch.equal(_picture(one), _picture(other))


@_both("run")
def _run(kit: Kit, script: str) -> None:
    one, other = kit.either(script, saves=True), kit.either(script, saves=True)
    assert one.folder != other.folder
    for ran in (one, other):
        assert {"checkpoint.pt", "train.jsonl"} <= {path.name for path in ran.folder.iterdir()}


@_both("export")
def _export(kit: Kit, script: str) -> None:
    file = kit.tmp_path / "new" / "own.safetensors"
    assert kit.either(script).code == 0 and not list(kit.tmp_path.rglob("*.safetensors"))
    ran = kit.either(script, "--export", file)
    read = weights.read_state(file)
    for name, value in ran.run.average.model.named_parameters():
        assert torch.allclose(read[name].float(), value, rtol=1e-2, atol=1e-3), name
    assert file.with_suffix(".json").is_file()


@_both("device")
def _device(kit: Kit, script: str) -> None:
    for name in ("cpu", "auto"):
        kit.devices.clear()
        assert (
            kit.either(script, "--device", name, "--teacher", "auto").code == 0
            if (script == WAV2LIP)
            else kit.either(script, "--device", name).code == 0
        )
        assert set(kit.devices) == {name}
    ran = kit.either(script, "--device", "tpu9")
    assert ran.code == 2 and "Invalid --device ('tpu9')" in ran.err


@_both("seed")
def _seed(kit: Kit, script: str) -> None:
    one, same, other = (kit.either(script, "--seed", seed) for seed in (1, 1, 2))
    assert _same(one.run.average.model, same.run.average.model)
    assert not _same(one.run.average.model, other.run.average.model)
    pictures = [_picture(ran.steps[0][0]) for ran in (one, same, other)]
    assert torch.equal(pictures[0], pictures[1]) and not torch.equal(pictures[0], pictures[2])


@_both("log_every")
def _log_every(kit: Kit, script: str) -> None:
    assert kit.either(script, "--log_every", 1, "--steps", 4).at("loss") == [1, 2, 3, 4]
    assert kit.either(script, "--log_every", 2, "--steps", 4).at("loss") == [2, 4]


@_both("save_every")
def _save_every(kit: Kit, script: str) -> None:
    assert kit.either(script, "--save_every", 2, "--steps", 5).saved == [2, 4, 5]
    assert kit.either(script, "--save_every", 9, "--steps", 5).saved == [5]


@_both("steps")
def _steps(kit: Kit, script: str) -> None:
    for steps in (1, 3):
        ran = kit.either(script, "--steps", steps)
        assert len(ran.steps) == steps and [step for step, _, _ in ran.batch_clips] == list(
            range(steps)
        )


@_both("lr")
def _lr(kit: Kit, script: str) -> None:
    for rate in (0.1, 0.001):
        ran = kit.either(script, "--lr", rate)
        assert ran.rows[0]["lr"] == ran.steps[0][1]["lr"] == pytest.approx(rate)


@_both("warmup")
def _warmup(kit: Kit, script: str) -> None:
    flags = ("--lr", 1, "--steps", 4, "--warmup")
    rates = [row["lr"] for row in kit.either(script, *flags, 4).rows]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0])
    rates = [row["lr"] for row in kit.either(script, *flags, 2).rows]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.01 + 0.99 / 2])


@_both("average")
def _average(kit: Kit, script: str) -> None:
    ran = kit.either(script, "--average", 0, "--lr", 0.1, learns=True)
    assert _same(ran.run.average.model, ran.task.module.model)
    ran = kit.either(script, "--average", 0.05, "--lr", 0.1, learns=True)
    assert not _same(ran.run.average.model, ran.task.module.model)


@_both("weight_decay")
def _weight_decay(kit: Kit, script: str) -> None:
    for decay in (0.0, 0.4):
        optimizer = kit.either(script, "--weight_decay", decay).task.optimizers["optimizer"]
        assert optimizer.param_groups[0]["weight_decay"] == decay


@_both("precision")
def _precision(kit: Kit, script: str) -> None:
    ran = {word: kit.either(script, "--precision", word, learns=True) for word in ("fp32", "bf16")}
    exact, rough = (ran[word].losses for word in ("fp32", "bf16"))
    assert rough != exact and rough == pytest.approx(exact, rel=0.05)
    for units, expected in (
        ({}, "fp32"),
        ({"avx512_bf16": True}, "bf16"),
        ({"avx2": True}, "fp32"),
    ):
        kit.patch.setattr(torch.cpu, "get_capabilities", lambda units=units: units)
        auto = kit.either(script, without=("--precision",), learns=True)
        assert auto.losses == ran[expected].losses and f"on cpu, precision {expected}" in auto.out
        assert auto.task.precision == expected


# Of train_syncnet.py.


def _row(flag: str, script: str = SYNCNET) -> Any:
    return TABLE.row(script, flag)


@_row("val")
def _val(kit: Kit) -> None:
    assert kit.syncnet().data.unseen == []
    ran = kit.syncnet("--val", kit.folders / "val")
    assert [clip.name for clip in ran.data.unseen] == ["val/emil/00000", "val/fred/00000"]
    assert all(int(np.median(clip.pictures)) > 240 for clip in ran.data.unseen)
    assert ran.names == ["anna/00000", "carl/00000"]
    assert [clip.pictures.shape[2] for clip in ran.data.unseen] == [SHORT.lip_size_px] * 2


@_row("val_without")
def _val_without(kit: Kit) -> None:
    flags = ("--val", kit.folders / "val", "--export")
    for more, left_out in (((), []), (("--val_without", "emil"), ["val/emil"])):
        file = kit.tmp_path / f"{len(left_out)}.safetensors"
        assert kit.syncnet(*flags, file, *more).code == 0
        card = Path(file.with_suffix(".json")).read_text()
        assert f'"left_out": {left_out}'.replace("'", '"') in " ".join(card.split()).replace(
            "[ ", "["
        ).replace(" ]", "]")


@_row("drawn")
def _drawn(kit: Kit) -> None:
    assert [names for _, _, names in kit.syncnet("--drawn", 0).batch_clips] == [
        ["tracks/anna/00000", "tracks/carl/00000"]
    ]
    ran = kit.syncnet("--drawn", 2)
    assert len(ran.data.drawn) == 2 and len(ran.batch_clips[0][2]) == 4
    assert {clip.name for clip in ran.data.drawn} < set(ran.batch_clips[0][2])
    assert {clip.frames for clip in ran.data.drawn} == {FRAMES}
    # Unset: as many as clips, up to a largest number.
    for count_limit, count in ((60, 2), (1, 1)):
        kit.patch.setattr(syncnet_data, "MOST_DRAWN", count_limit)
        assert len(kit.syncnet(without=("--drawn",)).data.drawn) == count


@_row("grey")
def _grey(kit: Kit) -> None:
    kit.patch.setattr(syncnet_task, "SMALL", replace(SHORT, grey=False))
    for chance in (0, 1):
        batch, _ = kit.syncnet("--grey", chance).steps[0]
        for excerpt in batch.lips:
            alike = np.corrcoef(excerpt[:, 0].flatten(), excerpt[:, 2].flatten())[0, 1]
            assert (alike > 0.9) == bool(chance)


@_row("init")
def _init(kit: Kit) -> None:
    own = SyncNet(SHORT)
    weights.fill(own, kit.folders / "own.safetensors")
    ran = kit.syncnet("--init", kit.folders / "own.safetensors")
    assert _same(ran.run.average.model, own) and "starts from own.safetensors" in ran.out
    assert all(p.requires_grad for p in ran.task.module.model.parameters())
    # Of other weights; these learn theirs anew.
    weights.write_own(own, kit.folders / "zeroed.safetensors", config=replace(SHORT, zero_ms=20.0))
    ran = kit.syncnet("--init", kit.folders / "zeroed.safetensors")
    assert ran.task.network.config.zero_ms == 0 and _same(ran.run.average.model, own)
    ran = kit.syncnet()
    assert not _same(ran.run.average.model, own) and "starts from" not in ran.out


@_row("network")
def _network(kit: Kit) -> None:
    narrow = replace(SHORT, context_s=0.0, embedding_scale=0.0, window_frames=5)
    kit.patch.setattr(syncnet_task, "SIAMESE", narrow)
    more = ("--objective", "bce", "--windows", 2)
    for name, config in (("siamese", narrow), ("small", SHORT)):
        ran = kit.syncnet("--network", name, *more)
        assert ran.task.network.config == replace(config, pair_sigmoid=True)


@_row("refusal")
def _refusal(kit: Kit) -> None:
    plain, weak, strong = (
        kit.syncnet("--refusal", weight, learns=True).losses[0] for weight in (0, 0.5, 1)
    )
    assert plain < weak < strong
    assert strong - plain == pytest.approx(2 * (weak - plain), rel=1e-3)


@_row("windows")
def _windows(kit: Kit) -> None:
    for number in (2, 5):
        assert kit.syncnet("--windows", number).steps[0][0].lips.shape[:2] == (2, number)
    assert kit.syncnet().steps[0][0].lips.shape[1] == 6


@_row("eval_every")
def _eval_every(kit: Kit) -> None:
    flags = ("--val", kit.folders / "val", "--steps", 4, "--eval_every")
    assert kit.syncnet(*flags, 1).at("unseen 2s_pieces") == [1, 2, 3, 4]
    assert kit.syncnet(*flags, 3).at("unseen 2s_pieces") == [3]


@_row("patience")
def _patience(kit: Kit) -> None:
    scores: list[float] = []

    class Falling:
        def summary(self) -> dict[str, float]:
            return {}

        def share_right(self) -> float:
            scores.append(1 / (1 + len(scores)))
            return scores[-1]

    kit.patch.setattr(syncnet_task, "agreement", lambda *_, **__: Falling())
    flags = ("--val", kit.folders / "val", "--steps", 5, "--eval_every", 1, "--patience")
    for patience, steps in ((0, 5), (1, 2), (3, 4)):
        scores.clear()
        ran = kit.syncnet(*flags, patience)
        assert len(ran.steps) == steps and ran.saved == [steps]


@_row("objective")
def _objective(kit: Kit) -> None:
    kinds = {"multiway": MultiWay, "margin": Margin, "bce": DistanceBCE, "cosine": CosineBCE}
    for name, kind in kinds.items():
        assert type(kit.syncnet("--objective", name).task.module.objective) is kind


@_row("negatives")
def _negatives(kit: Kit) -> None:
    losses = []
    for kind in ("same", "cross", "both"):
        ran = kit.syncnet("--negatives", kind, learns=True)
        assert ran.task.module.objective.negatives == kind
        losses += ran.losses
    assert len(set(losses)) == 3


@_row("refine_at")
def _refine_at(kit: Kit) -> None:
    calls: list[list[str]] = []

    def refine(_model: Any, clips: Any, _group: Any, **_: Any) -> Any:
        calls.append([clip.name for clip in clips])
        return clips[1:], [clips[0].name]

    kit.patch.setattr(syncnet_task.judging, "refine", refine)
    assert kit.syncnet("--refine_at", "--steps", 4).at("kept") == [] == calls
    ran = kit.syncnet("--refine_at", 1, 3, "--steps", 4)
    assert ran.at("kept") == [2, 4] and len(calls) == 2  # of the steps to come
    assert calls == [["tracks/anna/00000", "tracks/carl/00000"]] * 2
    assert [len(names) for _, _, names in ran.batch_clips] == [2, 1, 1, 1]
    assert ran.names == ["carl/00000"] and ran.task.dropped == ["tracks/anna/00000"]


@_row("excerpts")
def _excerpts(kit: Kit) -> None:
    for count in (1, 3):
        batch, _ = kit.syncnet("--excerpts", count).steps[0]
        assert batch.lips.shape[:2] == (count, 6) and len(batch.seeds) == count


@_row("dropout")
def _dropout(kit: Kit) -> None:
    losses = []
    for flags, share in (((), 0.3), (("--dropout", 0.6), 0.6), (("--dropout", 0), 0.0)):
        ran = kit.syncnet(*flags, learns=True)
        assert ran.task.module.model.config.dropout == share
        losses += ran.losses
    assert len(set(losses)) == 3


@_row("init_share")
def _init_share(kit: Kit) -> None:
    start = kit.tmp_path / "start.safetensors"
    weights.write_own(SyncNet(SHORT), start, config=SHORT)
    init = weights.load_syncnet(str(start), device=torch.device("cpu"))[0].state_dict()
    reported: list[SyncNet] = []

    def agreement(model: SyncNet, *_: Any, **__: Any) -> SimpleNamespace:
        reported.append(model)
        return SimpleNamespace(summary=dict, share_right=float)

    kit.patch.setattr(syncnet_task, "agreement", agreement)
    for flags, share in (((), 0.0), (("--init_share", 0.25), 0.25), (("--init_share", 0.9), 0.9)):
        more = ("--init", start, "--lr", 0.05, *flags)
        val = ("--val", kit.folders / "val", "--eval_every", 1)
        own = kit.syncnet(*more, *val, learns=True).run.average.model.state_dict()
        file = kit.tmp_path / f"{share}.safetensors"
        kit.syncnet(*more, "--export", file, learns=True)
        written, _ = weights.load_syncnet(str(file), device=torch.device("cpu"))
        for network in (written.state_dict(), reported.pop().state_dict()):
            for name in ("netcnnlip.0.weight", "netcnnaud.1.running_mean"):
                assert not torch.allclose(own[name], init[name], atol=1e-4)
                wanted = share * init[name] + (1 - share) * own[name]
                torch.testing.assert_close(network[name], wanted)
    for bad, told in ((1, "less than 1"), (-0.1, "is a share of 0 to 1")):
        assert told in kit.syncnet("--init", start, "--init_share", bad).err
    assert "give --init, too" in kit.syncnet("--init_share", 0.5).err


# Of train_wav2lip.py.


@_row("val", WAV2LIP)
def _val_faces(kit: Kit) -> None:
    assert kit.wav2lip().data.unseen == []
    ran = kit.wav2lip("--val", kit.folders / "val", "--eval_every", 1)
    (batch,) = ran.data.unseen
    assert isinstance(batch, FaceBatch) and float(batch.target.min()) > 0.9  # white faces
    assert ran.names == ["anna/00000", "carl/00000"]
    assert float(ran.steps[0][0].target.min()) < 0.5
    picture = np.asarray(cv2.imread(str(ran.folder / "samples_000001.png")))
    assert picture[:96, -96:].min() > 230 and ran.at("unseen l1") == [1]


@_row("filelists", WAV2LIP)
def _filelists(kit: Kit) -> None:
    root = ("--data", kit.folders / "pre")
    assert kit.wav2lip(*root).names == ["gina/0", "hugo/0"]
    ran = kit.wav2lip(*root, "--filelists", kit.folders)
    assert ran.names == ["hugo/0"] and len(ran.data.unseen) == 1
    (kit.tmp_path / "train.txt").write_text("gina/0\n")
    (kit.tmp_path / "val.txt").write_text("hugo/0\n")
    assert kit.wav2lip(*root, "--filelists", kit.tmp_path).names == ["gina/0"]


@_row("val_share", WAV2LIP)
def _val_share(kit: Kit) -> None:
    both = ("--data", kit.folders / "tracks", kit.folders / "more", "--steps", 1)
    assert kit.wav2lip(*both).data.unseen == []
    for share, count in ((0.3, 1), (0.7, 2)):
        ran = kit.wav2lip(*both, "--val_share", share)
        assert len(ran.data.val_people) == count and len(ran.clips) == 3 - count
        assert f"{count} of 3 people are kept back to report on" in ran.out
        assert not {face.clip.who for face in ran.clips} & {*ran.data.val_people}
        assert len(ran.data.unseen) == 1
    for more, told in (
        (("--val_share", 1), "--val_share is above 0 and below 1"),
        (("--val_share", 0.2, "--val", kit.folders / "val"), "leave out --val for it"),
        (("--val_share", 0.2, "--data", kit.folders / "more"), "all clips of --data are of one"),
    ):
        ran = kit.wav2lip(*more)
        assert ran.code == 2 and told in ran.err


@_row("separate_voice", WAV2LIP)
def _separate_voice(kit: Kit) -> None:
    whole, alone = kit.wav2lip("--no-separate_voice"), kit.wav2lip("--separate_voice")
    assert [ran.task.network.config.separate_voice for ran in (whole, alone)] == [False, True]
    assert not torch.equal(whole.steps[0][0].mels, alone.steps[0][0].mels)
    assert torch.equal(whole.steps[0][0].target, alone.steps[0][0].target)


@_row("shift_s", WAV2LIP)
def _shift_s(kit: Kit) -> None:
    flags = ("--stage", "expert", "--batch_size", 12)
    plain = kit.wav2lip(*flags, learns=True)
    for seconds, windows in ((0, 1), (0.2, 1), (0.9, 5), (1.2, 6)):
        ran = kit.wav2lip(*flags, "--shift_s", seconds, learns=True)
        assert ran.steps[0][1]["weighted"].apart == windows
        assert (ran.losses == plain.losses) == (windows == 1)
    ran = kit.wav2lip(*flags, "--shift_s", 1.3)
    assert ran.code == 2 and "--shift_s is 0 to 1.2 seconds" in ran.err


@_row("stage", WAV2LIP)
def _stage(kit: Kit) -> None:
    kinds: dict[str, type[nn.Module]] = {"expert": SyncNetColor, "speech2vid": Speech2Vid}
    kinds |= {"generator": Wav2Lip, "gan": Wav2Lip}
    for stage, kind in kinds.items():
        task = kit.wav2lip("--stage", stage).task
        assert type(task.module.model) is kind
        rival = task.optimizers["rival"]
        assert bool(task.module.discriminator) == bool(rival) == (stage == "gan")


@_row("teacher", WAV2LIP)
def _teacher(kit: Kit) -> None:
    assert kit.wav2lip("--teacher", "none").data.taught_size == 0
    assert kit.wav2lip("--stage", "speech2vid").task.module.expert is None
    own = kit.wav2lip("--stage", "speech2vid", "--teacher", kit.folders / "own.safetensors")
    judge = SyncNet(SHORT)
    weights.fill(judge, kit.folders / "own.safetensors")
    assert _same(own.task.module.expert, judge) and own.data.taught_size == 0
    assert own.steps[0][0].judged.lips.shape[1:] == (9, 1, 48, 48)
    own = kit.wav2lip("--teacher", kit.folders / "own.safetensors")
    assert own.data.taught_size == SHORT.embedding_size == own.steps[0][0].taught.shape[2]
    assert own.task.module.translation.out_features == SHORT.embedding_size
    default_teacher = kit.wav2lip(without=("--teacher",))  # auto: what run_syncnet.py takes
    assert (
        default_teacher.data.taught_size
        == default_teacher.task.module.translation.out_features
        == 128
    )


@_row("taught_steps", WAV2LIP)
def _taught_steps(kit: Kit) -> None:
    flags = ("--stage", "expert", "--teacher", kit.folders / "own.safetensors", "--steps", 3)
    ran = kit.wav2lip(*flags, "--taught_steps", 2, learns=True)
    assert [options["weighted"].pairs for _, options in ran.steps] == [0.0, 0.0, 1.0]
    lacking = [2 * (1 - row["taught"]) for row in ran.rows]
    assert ran.losses[:2] == pytest.approx(lacking[:2], abs=1e-4)
    assert ran.losses[2] > lacking[2] + 0.5  # its own question has come to it
    ran = kit.wav2lip(*flags, "--taught_steps", 9)
    assert [options["weighted"].pairs for _, options in ran.steps] == [0.0] * 3
    ran = kit.wav2lip(*flags, "--teacher", "none", "--taught_steps", 9)
    assert [options["weighted"].pairs for _, options in ran.steps] == [1.0] * 3


@_row("expert", WAV2LIP)
def _expert(kit: Kit) -> None:
    ran = kit.wav2lip()
    assert ran.task.module.expert is None and "no --expert" in ran.out
    ran = kit.wav2lip("--expert", kit.folders / "expert.safetensors")
    own = SyncNetColor(NARROW)
    weights.fill(own, kit.folders / "expert.safetensors")
    assert _same(ran.task.module.expert, own) and "no --expert" not in ran.out


@_row("init", WAV2LIP)
def _init_faces(kit: Kit) -> None:
    own = Wav2Lip(NARROW)
    weights.fill(own, kit.folders / "generator.safetensors")
    ran = kit.wav2lip("--init", kit.folders / "generator.safetensors")
    assert _same(ran.task.module.model, own) and _same(ran.run.average.model, own)
    assert not _same(kit.wav2lip().task.module.model, own)


@_row("eval_every", WAV2LIP)
def _eval_every_faces(kit: Kit) -> None:
    kit.patch.setattr(wav2lip_module, "judge", lambda *_, **__: {"loss": 1.0})
    kit.patch.setattr(wav2lip_task, "draw_samples", lambda *_: None)
    flags = ("--val", kit.folders / "val", "--steps", 4, "--eval_every")
    assert kit.wav2lip(*flags, 1).at("unseen loss") == [1, 2, 3, 4]
    assert kit.wav2lip(*flags, 3).at("unseen loss") == [3]


@_row("width", WAV2LIP)
def _width(kit: Kit) -> None:
    for width in (0.02, 0.2):
        module = kit.wav2lip("--width", width, "--stage", "gan").task.module
        config = Wav2LipConfig(width)
        assert module.model.config == config
        assert module.model.face_decoder_blocks[0][0].conv_block[0].out_channels == (
            config.channels(512)
        )
        last = [p for p in module.discriminator.parameters() if p.dim() == 4][-2]
        assert len(last) == config.channels(512)


@_row("batch_size", WAV2LIP)
def _batch_size(kit: Kit) -> None:
    for size in (1, 3):
        assert len(kit.wav2lip("--batch_size", size).steps[0][0].target) == size
    for size, excerpt_count in ((12, 1), (24, 2)):
        batch, _ = kit.wav2lip("--stage", "expert", "--batch_size", size).steps[0]
        assert batch.faces.shape[:2] == (excerpt_count, 12)


def _with_expert(kit: Kit, *flags: Any, **options: Any) -> Ran:
    return kit.wav2lip("--expert", kit.folders / "expert.safetensors", *flags, **options)


@_row("sync_weight", WAV2LIP)
def _sync_weight(kit: Kit) -> None:
    for weight in (0.1, 0.6):
        ran = _with_expert(kit, "--sync_at", 0, "--sync_weight", weight, learns=True)
        (row,) = [row for row in ran.rows if "l1" in row]
        assert row["loss"] == pytest.approx((1 - weight) * row["l1"] + weight * row["sync"])


@_row("sync_from", WAV2LIP)
def _sync_from(kit: Kit) -> None:
    kit.patch.setattr(wav2lip_module, "judge", lambda *_, **__: {"loss": 1.0, "sync": 0.75})
    kit.patch.setattr(wav2lip_task, "draw_samples", lambda *_: None)
    flags = ("--val", kit.folders / "val", "--steps", 3, "--eval_every", 1, "--sync_from")
    for bound, switched in ((0.74, []), (0.75, []), (0.76, [1])):
        assert _with_expert(kit, *flags, bound).at("sync_weight") == switched


@_row("sync_at", WAV2LIP)
def _sync_at(kit: Kit) -> None:
    for step, weighted in ((0, [0.2] * 3), (1, [0, 0.2, 0.2]), (-1, [0] * 3)):
        ran = _with_expert(kit, "--sync_at", step, "--sync_weight", 0.2, "--steps", 3)
        assert [options["weighted"].sync for _, options in ran.steps] == weighted


@_row("adversarial_weight", WAV2LIP)
def _adversarial_weight(kit: Kit) -> None:
    for weight in (0.0, 0.3):
        flags = ("--stage", "gan", "--adversarial_weight", weight)
        (row,) = kit.wav2lip(*flags, learns=True).rows
        expected = (1 - weight) * row["l1"] + weight * row["adversarial"]
        assert row["loss"] == pytest.approx(expected)
    (row,) = kit.wav2lip("--adversarial_weight", 0.3, learns=True).rows
    assert row["loss"] == pytest.approx(row["l1"])  # of a generator alone: nobody to fool


@_row("mouth_weight", WAV2LIP)
def _mouth_weight(kit: Kit) -> None:
    losses = []
    for weight in (0, 4, 50):
        ran = kit.wav2lip("--mouth_weight", weight, learns=True)
        assert ran.steps[0][1]["weighted"].mouth == weight
        losses += ran.losses
    assert losses[0] == pytest.approx(ran.rows[0]["l1"]) and len(set(losses)) == 3


@_row("structure_weight", WAV2LIP)
def _structure_weight(kit: Kit) -> None:
    for weight in (0, 0.5):
        (row,) = kit.wav2lip("--structure_weight", weight, learns=True).rows
        assert row["loss"] == pytest.approx(row["l1"] + weight * row["structure"])


@_row("detail_weight", WAV2LIP)
def _detail_weight(kit: Kit) -> None:
    for weight in (0, 0.5):
        (row,) = kit.wav2lip("--detail_weight", weight, learns=True).rows
        assert row["loss"] == pytest.approx(row["l1"] + weight * row["detail"])


@_row("taught_weight", WAV2LIP)
def _taught_weight(kit: Kit) -> None:
    teacher = ("--teacher", kit.folders / "own.safetensors", "--taught_weight")
    (row,) = kit.wav2lip(*teacher, 0, learns=True).rows
    assert row["loss"] == pytest.approx(row["l1"]) and "taught" not in row
    (row,) = kit.wav2lip(*teacher, 0.5, learns=True).rows
    assert row["loss"] == pytest.approx(row["l1"] + 0.5 * (1 - row["taught"]))


# What a flag is where it is not given.

DATA = {"data": [Path("d")], "run": Path("r")}
BOTH = DATA | {"preset": None, "val": [], "min_confidence": 1.0, "max_offset": 10, "cache": None}
BOTH |= {"cache_gb": 20.0, "workers": 1, "init": None, "export": None, "device": "auto"}
BOTH |= {"seed": 1, "log_every": 20, "save_every": 100, "eval_every": 500, "lr": 1e-3}
BOTH |= {"precision": "auto"}
DEFAULTS = {
    SYNCNET: BOTH
    | {"val_without": [], "drawn": None, "grey": 0.1, "patience": 0, "steps": 2000, "warmup": 50}
    | {"objective": "multiway", "negatives": "same", "refine_at": [300, 800, 1400]}
    | {"excerpts": 16, "average": 0.996, "dropout": None, "weight_decay": 0.02}
    | {"network": None, "windows": None, "refusal": 0.0, "init_share": 0.0},
    WAV2LIP: BOTH
    | {"stage": "gan", "filelists": None, "teacher": "auto", "taught_steps": 300, "expert": None}
    | {"width": 0.25, "steps": 3000, "batch_size": 16, "warmup": 100, "average": 0.998}
    | {"weight_decay": 0.01, "sync_weight": 0.03, "sync_from": 0.75, "sync_at": -1}
    | {"adversarial_weight": 0.07, "mouth_weight": 4.0, "structure_weight": 0.2}
    | {"detail_weight": 0.012, "taught_weight": 0.1}
    | {"val_share": None, "separate_voice": False, "shift_s": None},
}


@pytest.mark.parametrize("script", [SYNCNET, WAV2LIP])
def test_training_flags_not_given_are_those_of_the_bundled_weights(script: str) -> None:
    """The recipe the figures of the model cards are of."""
    words = ["--data", "d", "--run", "r", *(("--stage", "gan") if script == WAV2LIP else ())]
    assert vars(TABLE.parsers[script]().parse_args(words)) == DEFAULTS[script]


# The table.


def test_every_training_flag_has_a_row_and_every_row_a_flag() -> None:
    """A new flag of a training script needs two values that give two right results here."""
    assert TABLE.rows.keys() == TABLE.flags()


@pytest.mark.parametrize(
    ("script", "flag"), list(TABLE.rows), ids=[f"{s[:-3]}-{f}" for s, f in TABLE.rows]
)
def test_training_flag_gives_each_value_its_own_result(script: str, flag: str, kit: Kit) -> None:
    """Two values, and what each does to a run."""
    TABLE.rows[script, flag](kit)
