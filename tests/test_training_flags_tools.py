"""Every flag of the detector's training, of drawn tracks and of the evaluations: two values."""

import json
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from models import s3fd, weights
from models.files import sha256
from models.syncnet import SyncNet
from models.wav2lip import SyncNetColor, Wav2Lip, Wav2LipConfig
from pipeline.media import encode
from pipeline.store.workspace import Workspace
from tests.train_kit import TINY, run_main, watch_devices
from tests.training_flag_kit import FlagTable
from training import detector, drawn_tracks, evaluate_expert, evaluate_mouths, evaluate_sync
from training.data import samples
from training.drawn_tracks import write_track
from training.evaluate import dubbed_mouths
from training.loop import checkpoint as checkpoint_files
from training.loop import fit
from training.loop.journal import Journal, read_rows

FRAMES = 40
NARROW = Wav2LipConfig(0.02)
EVALUATIONS = {
    "evaluate_sync": evaluate_sync,
    "evaluate_expert": evaluate_expert,
    "evaluate_mouths": evaluate_mouths,
}
TABLE = FlagTable(
    {name: module.build_parser for name, module in EVALUATIONS.items()}
    | {"detector": detector.build_parser, "drawn_tracks": drawn_tracks.build_parser}
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data_dirs `val` (anna leads by 3 frames, confidence 2; carl) and `more`, and weights."""
    root = tmp_path_factory.mktemp("tools")
    for seed, name in enumerate(("val/anna", "val/carl", "more/dora")):
        data_dir, _, reference = name.partition("/")
        work = Workspace(root / data_dir, reference)
        work.folder("pycrop").mkdir(parents=True)
        rng = np.random.default_rng(seed)
        sound = rng.integers(-9000, 9000, FRAMES * 640, dtype=np.int16)
        write_track(work.crop(0), np.full((FRAMES, 224, 224, 3), 90, np.uint8), sound)
    work = Workspace(root / "val", "anna")
    work.folder("pywork").mkdir(parents=True)
    work.offsets_text.write_text("FILENAME\tOFFSET\tCONF\n00000.avi\t3\t2.0\n")
    torch.manual_seed(9)
    weights.write_own(SyncNet(TINY), root / "syncnet.safetensors", config=TINY)
    weights.write_own(SyncNetColor(NARROW), root / "expert.safetensors", config=NARROW)
    weights.write_own(Wav2Lip(NARROW), root / "generator.safetensors", config=NARROW)
    for folder, count in (("stills", 10), ("others", 20)):
        _stills(root / folder, count)
    for folder, clips in (("corpus", 1), ("talks", 2)):
        _corpus(root / folder, clips)
    return root


def _stills(folder: Path, count: int) -> None:
    """So many photographs to train on, and one held out."""
    labels = []
    for split, number in [("train", n) for n in range(count)] + [("heldout", 0)]:
        (folder / "images" / split).mkdir(parents=True, exist_ok=True)
        name = f"{split}/{number}.png"
        cv2.imwrite(str(folder / "images" / name), np.full((40, 50, 3), 99, np.uint8))
        label = {"file": name, "boxes": [[5, 5, 30, 35]], "ignore": [], "source": str(number)}
        labels.append(json.dumps(label))
    (folder / "labels.jsonl").write_text("\n".join(labels))


def _corpus(folder: Path, clips: int) -> None:
    """So many clips with boxes in four of their frames."""
    rows = []
    for number in range(clips):
        (folder / "train").mkdir(parents=True, exist_ok=True)
        with encode.VideoWriter(folder / f"train/{number}.avi", size_px=(50, 40)) as writer:
            for _ in range(4):
                writer.write(np.full((40, 50, 3), 99, np.uint8))
        row = {"file": f"train/{number}.avi", "width": 50, "height": 40, "every": 1}
        rows.append(json.dumps(row | {"faces": [[[5, 5, 30, 35, 0.9]]] * 4}))
    (folder / "faces.jsonl").write_text("\n".join(rows))


class Kit:
    """Runs the tools in this process and watches what their figures are made of."""

    def __init__(
        self,
        folders: Path,
        tmp_path: Path,
        patch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.folders, self.tmp_path, self.patch, self.capsys = folders, tmp_path, patch, capsys
        self.calls: list[dict[str, Any]] = []
        self.devices = watch_devices(patch)
        self.count = 0

    def evaluated(self, name: str, *flags: Any, without: tuple[str, ...] = ()) -> dict[str, Any]:
        """What an evaluation calculates with: networks, clips, seed; the figures are made up."""
        module = EVALUATIONS[name]

        def figures(model: Any, clips: Any, *rest: Any, **options: Any) -> dict[str, Any]:
            if name == "evaluate_mouths":  # files, generator, scorer
                model, clips, rest = None, model, (clips, *rest)
            names = [getattr(clip, "clip", clip) for clip in clips]
            names = [clip if isinstance(clip, Path) else clip.name for clip in names]
            options |= {"model": model, "names": names, "rest": rest, "clips": clips}
            self.calls.append(options)
            row = {"all": {"5s": 1}, "speaker_on_screen": {}, "clips": {"a": {"x": 1}}}
            return row | {"left_out": []}

        inner = "figures" if name == "evaluate_sync" else "evaluate"
        self.patch.setattr(module, inner, figures)
        if name == "evaluate_sync":  # the clips here are shorter than two pieces
            self.patch.setattr(module, "can_be_judged", bool)
        base: Any = {"--data": self.folders / "val", "--device": "cpu"}
        base |= {"--cache": self.folders / "cache"}
        base |= {
            "evaluate_sync": {"--weights": self.folders / "syncnet.safetensors"},
            "evaluate_expert": {"--expert": self.folders / "expert.safetensors"},
            "evaluate_mouths": {
                "--checkpoint": self.folders / "generator.safetensors",
                "--initial_model": self.folders / "syncnet.safetensors",
            },
        }[name]
        named = [str(flag) for flag in flags]
        remaining = {flag: value for flag, value in base.items() if flag not in (*named, *without)}
        words = [str(word) for item in remaining.items() for word in item]
        self.code, self.out, self.err = run_main(module.main, [*words, *named], self.capsys)
        return self.calls[-1] if self.code == 0 else {}

    def detector(self, *flags: Any) -> SimpleNamespace:
        """A run whose steps and figures are made up: what it was made of."""
        record = SimpleNamespace(views=[], rates=[], judged=[], model=None, saved=[])
        self.count += 1
        record.folder = self.tmp_path / f"run{self.count}"

        def step(run: Any, views: Any, *, lr: float, group: Any) -> dict[str, float]:
            record.run, record.task, record.model = run, run.task, run.task.network
            record.views.append(views)
            record.rates.append(lr)
            run.step += 1
            return {"loss": 2.0, "score_loss": 1.0, "box_loss": 1.0}

        def recall(_model: Any, pictures: Any, **_: Any) -> dict[str, float]:
            record.judged.append(len(pictures))
            return {"recall": 1.0, "confidence": 0.5}

        self.patch.setattr(fit, "train_step", step)
        self.patch.setattr(Journal, "draw", lambda _: None)
        self.patch.setattr(detector, "recall_at", recall)
        self.patch.setattr(
            checkpoint_files, "save_checkpoint", lambda _, state: record.saved.append(state["step"])
        )
        base: Any = {
            "--stills": self.folders / "stills",
            "--corpus": self.folders / "corpus",
        }
        base |= {"--drawn": 1, "--steps": 1, "--batch_size": 1, "--run": record.folder}
        named = [str(flag) for flag in flags]
        remaining = {flag: value for flag, value in base.items() if flag not in named}
        words = [str(word) for item in remaining.items() for word in item]
        record.code, record.out, record.err = run_main(detector.main, [*words, *named], self.capsys)
        return record


@pytest.fixture
def kit(
    folders: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Kit:
    """Runs of this test."""
    return Kit(folders, tmp_path, monkeypatch, capsys)


def _row(script: str, flag: str) -> Any:
    return TABLE.row(script, flag)


def _same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def _with(test: Any, name: str, kit: Any) -> None:
    test(kit, name)


def _of_all(flag: str) -> Callable[[Any], Any]:
    """The same test for each evaluation."""

    def wrapper(test: Any) -> Any:
        for name in EVALUATIONS:
            TABLE.row(name, flag)(partial(_with, test, name))
        return test

    return wrapper


# Flags of every evaluation.


def _named(kit: Kit, name: str, *flags: Any) -> list[str]:
    names = kit.evaluated(name, *flags)["names"]
    return [samples.clip_name(each) if isinstance(each, Path) else each for each in names]


@_of_all("data")
def _data(kit: Kit, name: str) -> None:
    assert _named(kit, name) == ["val/anna/00000", "val/carl/00000"]
    both = ("--data", kit.folders / "more", kit.folders / "val")
    assert _named(kit, name, *both) == ["more/dora/00000", "val/anna/00000", "val/carl/00000"]


@_of_all("cache")
def _cache(kit: Kit, name: str) -> None:
    folder = kit.tmp_path / "cache"
    if name == "evaluate_mouths":  # whose figures decode the clips
        assert kit.evaluated(name, "--cache", folder)["cache"] == folder
        passing = kit.evaluated(name, without=("--cache",))["cache"]
        assert passing != folder and not passing.exists()
        return
    kit.evaluated(name, without=("--cache",))
    assert not folder.exists()
    kit.evaluated(name, "--cache", folder)
    assert len(list(folder.glob("*.npy"))) == 4


@_of_all("device")
def _device(kit: Kit, name: str) -> None:
    for value in ("cpu", "auto"):
        kit.devices.clear()
        kit.evaluated(name, "--device", value)
        assert kit.devices == [value]


@_of_all("json")
def _json(kit: Kit, name: str) -> None:
    kit.evaluated(name)
    assert not list(kit.tmp_path.iterdir()) and "a {'x': 1}\n{" in kit.out
    kit.evaluated(name, "--json", kit.tmp_path / "figures.json")
    figures = json.loads((kit.tmp_path / "figures.json").read_text())
    assert figures["clips"] == {"a": {"x": 1}} and figures["all"] == {"5s": 1}


# Flags of one evaluation.


def _weights_of(kit: Kit, script: str, flag: str, own: torch.nn.Module, key: str) -> None:
    """A file's weights are those that are evaluated; without the flag the bundled ones."""
    weights.fill(own, kit.folders / f"{key}.safetensors")

    model_name = kit.evaluated(script)["model"]
    assert f"{key}.safetensors" in kit.out
    assert _same(model_name, own)
    model_name = kit.evaluated(script, without=(f"--{flag}",))["model"]
    assert f"{key}.safetensors" not in kit.out
    assert sum(p.numel() for p in model_name.parameters()) > 2 * sum(
        p.numel() for p in own.parameters()
    )


@_row("evaluate_sync", "weights")
def _weights(kit: Kit) -> None:
    _weights_of(kit, "evaluate_sync", "weights", SyncNet(TINY), "syncnet")


@_row("evaluate_sync", "without")
def _without(kit: Kit) -> None:
    assert kit.evaluated("evaluate_sync")["without"] == frozenset()
    arguments = kit.evaluated("evaluate_sync", "--without", "anna", "nobody")
    assert arguments["without"] == {"val/anna"} and len(arguments["names"]) == 2


@_row("evaluate_sync", "seed")
def _seed(kit: Kit) -> None:
    for seed in (1, 5):
        assert kit.evaluated("evaluate_sync", "--seed", seed)["seed"] == seed


@_row("evaluate_expert", "expert")
def _expert(kit: Kit) -> None:
    _weights_of(kit, "evaluate_expert", "expert", SyncNetColor(NARROW), "expert")


@_row("evaluate_expert", "min_confidence")
def _min_confidence(kit: Kit) -> None:
    flags = ("evaluate_expert", "--min_confidence")
    assert len(kit.evaluated(*flags, 2)["names"]) == 2
    assert kit.evaluated(*flags, 2.1)["names"] == ["val/carl/00000"]


@_row("evaluate_expert", "max_offset")
def _max_offset(kit: Kit) -> None:
    arguments = kit.evaluated("evaluate_expert", "--max_offset", 3)
    assert [face.clip.offset_ms for face in arguments["clips"]] == [120.0, 0.0]
    arguments = kit.evaluated("evaluate_expert", "--max_offset", 2.9)
    assert arguments["names"] == ["val/carl/00000"]


@_row("evaluate_expert", "without")
def _without_faces(kit: Kit) -> None:
    assert len(kit.evaluated("evaluate_expert")["names"]) == 2
    arguments = kit.evaluated("evaluate_expert", "--without", "carl")
    assert arguments["names"] == ["val/anna/00000"]


@_row("evaluate_expert", "cache_gb")
def _cache_gb(kit: Kit) -> None:
    assert kit.evaluated("evaluate_expert", "--cache_gb", 1)
    small = ("--cache", kit.tmp_path / "small", "--cache_gb", 1e-6)
    assert not kit.evaluated("evaluate_expert", *small)
    assert kit.code == 2 and "cache full (--cache_gb" in kit.err


@_row("evaluate_mouths", "checkpoint")
def _checkpoint(kit: Kit) -> None:
    pictures = []
    for name in ("generator", "other"):
        file = kit.tmp_path / f"{name}.safetensors"
        torch.manual_seed(len(name))
        weights.write_own(Wav2Lip(NARROW), file, config=NARROW)
        kit.patch.setattr(evaluate_mouths, "Generator", lambda model, *_, **__: model)
        model = kit.evaluated("evaluate_mouths", "--checkpoint", file)["rest"][0]
        assert f'"generator": "{name}.safetensors"' in kit.out
        with torch.inference_mode():
            pictures.append(model(torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96)))
            own = Wav2Lip(NARROW)
            weights.fill(own, file)
            expected = own.eval()(torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96))
        assert torch.allclose(pictures[-1], expected, atol=1e-4)
    assert not torch.allclose(pictures[0], pictures[1], atol=1e-4)


@_row("evaluate_mouths", "initial_model")
def _initial_model(kit: Kit) -> None:
    file = kit.folders / "syncnet.safetensors"
    scorer = kit.evaluated("evaluate_mouths")["rest"][1]
    assert scorer.model.weights_file == weights.WeightsFile(file.name, sha256(file))
    assert file.name in kit.out and f'"syncnet_sha256": "{sha256(file)}"' in kit.out
    scorer = kit.evaluated("evaluate_mouths", "--initial_model", "auto")["rest"][1]
    assert scorer.model.weights_file == weights.syncnet_weights() and file.name not in kit.out
    scorer = kit.evaluated("evaluate_mouths", without=("--initial_model",))["rest"][1]
    judge = weights.OWN_DIR / "judge_small.safetensors"
    assert scorer.model.weights_file == weights.WeightsFile(judge.name, sha256(judge))
    assert weights.syncnet_weights("judge") == scorer.model.weights_file


@_row("evaluate_mouths", "texture")
def _texture(kit: Kit) -> None:
    asked: list[dict[str, Any]] = []

    def dubbed(data: Any, *_: Any, **options: Any) -> dict[str, Any]:
        asked.append(options | {"data": data})
        return {"face_sharpness": 0.93}

    kit.patch.setattr(dubbed_mouths, "evaluate", dubbed)
    kit.evaluated("evaluate_mouths")
    assert not asked and "face_sharpness" not in kit.out and "judge_chose" not in kit.out
    for texture in ("own", "none"):
        kit.evaluated("evaluate_mouths", "--texture", texture)
        assert asked[-1]["texture"] == texture and asked[-1]["data"] == [kit.folders / "val"]
        assert '"face_sharpness": 0.93' in kit.out
        assert ('"judge_chose_mouths": false' in kit.out) == (texture == "own")
    for judge, chose in (("auto", "true"), ("judge", "false")):
        kit.evaluated("evaluate_mouths", "--texture", "own", "--initial_model", judge)
        assert f'"judge_chose_mouths": {chose}' in kit.out


@_row("evaluate_mouths", "pictures")
def _pictures(kit: Kit) -> None:
    assert kit.evaluated("evaluate_mouths")["pictures"] is None
    folder = kit.tmp_path / "new" / "shown"
    assert kit.evaluated("evaluate_mouths", "--pictures", folder)["pictures"] == folder
    assert folder.is_dir()


@_row("evaluate_mouths", "seed")
def _seed_mouths(kit: Kit) -> None:
    for seed in (1, 5):
        assert kit.evaluated("evaluate_mouths", "--seed", seed)["seed"] == seed


# Drawn tracks.


def _drawn_tracks(kit: Kit, *flags: Any) -> list[tuple[str, int, bytes]]:
    """Name, frames and sound of every track written."""
    kit.count += 1
    folder = kit.tmp_path / f"drawn{kit.count}"
    words = ["--data_dir", folder, "--clips", 1, "--seconds", 1, *flags]
    assert drawn_tracks.main([str(word) for word in words]) == 0
    files = samples.clip_files([folder])
    clips = samples.load_clips(files, TINY, cache=kit.tmp_path / "cache", margin=False).clips
    return [(clip.name.partition("/")[2], clip.frames, clip.samples.tobytes()) for clip in clips]


@_row("drawn_tracks", "data_dir")
def _data_dir(kit: Kit) -> None:
    for name in ("one", "two"):
        assert not (kit.tmp_path / name).exists()
        flags = ["--data_dir", str(kit.tmp_path / name), "--clips", "1", "--seconds", "1"]
        assert drawn_tracks.main(flags) == 0
        assert (kit.tmp_path / name / "pycrop" / "drawn000" / "00000.avi").is_file()


@_row("drawn_tracks", "clips")
def _clips(kit: Kit) -> None:
    assert [name for name, _, _ in _drawn_tracks(kit)] == ["drawn000/00000"]
    two = _drawn_tracks(kit, "--clips", 2)
    assert [name for name, _, _ in two] == ["drawn000/00000", "drawn001/00000"]
    assert two[0][2] != two[1][2]


@_row("drawn_tracks", "seconds")
def _seconds(kit: Kit) -> None:
    for seconds, frames in ((1, 25), (1.4, 35)):
        ((_, length, sound),) = _drawn_tracks(kit, "--seconds", seconds)
        assert (length, len(sound)) == (frames, 2 * 640 * frames)


@_row("drawn_tracks", "seed")
def _seed_drawn(kit: Kit) -> None:
    one, same, other = (_drawn_tracks(kit, "--seed", seed) for seed in (1, 1, 2))
    assert one == same and one != other


# The detector.


def _pools(out: str) -> tuple[int, ...]:
    """Photographs, clip frames, drawn scenes, photographs set aside."""
    return tuple(int(word) for word in out.splitlines()[0].split() if word.isdecimal())


@_row("detector", "stills")
def _stills_flag(kit: Kit) -> None:
    assert _pools(kit.detector().out) == (9, 4, 1, 1)
    record = kit.detector("--stills", kit.folders / "others")
    assert _pools(record.out) == (18, 4, 1, 2) and record.judged == [2]


@_row("detector", "corpus")
def _corpus_flag(kit: Kit) -> None:
    assert _pools(kit.detector("--corpus", kit.folders / "talks").out) == (9, 8, 1, 1)
    assert _pools(kit.detector("--corpus", kit.folders / "corpus").out) == (9, 4, 1, 1)


@_row("detector", "per_clip")
def _per_clip(kit: Kit) -> None:
    assert _pools(kit.detector("--per_clip", 1).out)[1] == 1
    assert _pools(kit.detector("--per_clip", 3).out)[1] == 3


@_row("detector", "drawn")
def _drawn_flag(kit: Kit) -> None:
    for count in (1, 3):
        assert _pools(kit.detector("--drawn", count).out)[2] == count


@_row("detector", "run")
def _run_flag(kit: Kit) -> None:
    one, other = kit.detector(), kit.detector()
    for record in (one, other):
        assert [row["step"] for row in read_rows(record.folder / "train.jsonl")] == [1]


@_row("detector", "export")
def _export_flag(kit: Kit) -> None:
    file = kit.tmp_path / "own.safetensors"
    kit.detector()
    assert not file.exists()
    record = kit.detector("--export", file)
    weights.fill(s3fd.S3FD(s3fd.SMALL), file)
    card = json.loads(file.with_suffix(".json").read_text())
    assert card["sha256"] == sha256(file)
    # After the last step; to calibrate the folded network; of what is in the file, and held out.
    assert record.judged == [1, 1, 1, 1]
    words = card["command"].split()
    assert words[:3] == ["python", "-m", "training.detector"]
    assert vars(detector.build_parser().parse_args(words[3:]))["stills"] == Path("stills")


@_row("detector", "seed")
def _seed_flag(kit: Kit) -> None:
    one, same, other = (kit.detector("--seed", seed) for seed in (1, 1, 2))
    assert _same(one.model, same.model) and not _same(one.model, other.model)
    pictures = [record.views[0][0].image for record in (one, same, other)]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


@_row("detector", "init")
def _init_flag(kit: Kit) -> None:
    """A run starts from the file's network, which has its normalisation folded in."""
    torch.manual_seed(3)
    start = kit.tmp_path / "start.safetensors"
    network = s3fd.S3FD(s3fd.SMALL)
    weights.write_own(network, start, config=None)
    earlier = {"minutes": 3, "sha256": sha256(start)}
    start.with_suffix(".json").write_text(json.dumps(earlier))
    record = kit.detector("--init", start, "--export", kit.tmp_path / "own.safetensors")
    assert _same(record.model, network) and not record.model.config.batch_norm
    nothing = kit.detector().model
    assert nothing.config.batch_norm and nothing.state_dict().keys() != network.state_dict().keys()
    card = json.loads((kit.tmp_path / "own.json").read_text())
    assert "--init start.safetensors" in card["command"]
    assert card["starts_from"] == {"file": "start.safetensors", "card": earlier}
    (kit.tmp_path / "other.safetensors").write_bytes(
        (kit.folders / "syncnet.safetensors").read_bytes()
    )
    other = kit.detector("--init", kit.tmp_path / "other.safetensors")
    assert other.code == 2 and "other.safetensors does not fit S3FD" in other.err
    assert not other.folder.exists()


@_row("detector", "device")
def _device_flag(kit: Kit) -> None:
    for value in ("cpu", "auto"):
        kit.devices.clear()
        kit.detector("--device", value)
        assert kit.devices == [value]


@_row("detector", "eval_every")
def _eval_every_flag(kit: Kit) -> None:
    for every, steps in ((2, [2, 4, 5]), (-1, [5]), (9, [5])):
        record = kit.detector("--steps", 5, "--eval_every", every)
        rows = read_rows(record.folder / "train.jsonl")
        assert [row["step"] for row in rows if "recall" in row] == steps


@_row("detector", "log_every")
def _log_every_flag(kit: Kit) -> None:
    for every, steps in ((2, [2, 4]), (3, [3])):
        rows = read_rows(kit.detector("--steps", 5, "--log_every", every).folder / "train.jsonl")
        assert [row["step"] for row in rows if "loss" in row] == steps


@_row("detector", "save_every")
def _save_every_flag(kit: Kit) -> None:
    for every, steps in ((2, [2, 4, 5]), (9, [5])):
        assert kit.detector("--steps", 5, "--save_every", every).saved == steps


@_row("detector", "workers")
def _workers_flag(kit: Kit) -> None:
    threads: list[bool] = []
    original = detector.random_views

    def views(*pools: Any, **options: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return original(*pools, **options)

    kit.patch.setattr(detector, "random_views", views)
    for workers in (0, 1):
        threads.clear()
        kit.detector("--workers", workers, "--steps", 2)
        assert threads == [workers == 0] * 2


@_row("detector", "precision")
def _precision_flag(kit: Kit) -> None:
    for words, expected in (("fp32", False), ("bf16", True)):
        record = kit.detector("--precision", words)
        autocast: list[bool] = []
        record.model.register_forward_hook(
            lambda *_, autocast=autocast: autocast.append(torch.is_autocast_enabled("cpu"))
        )
        losses, _ = record.task.losses(record.views[0], 0)
        assert autocast == [expected] and losses["optimizer"].dtype == torch.float32
        assert f"precision {words}" in record.out


@_row("detector", "steps")
def _steps_flag(kit: Kit) -> None:
    for steps in (1, 3):
        assert len(kit.detector("--steps", steps).views) == steps


@_row("detector", "batch_size")
def _batch_size_flag(kit: Kit) -> None:
    for size in (1, 3):
        assert [len(views) for views in kit.detector("--batch_size", size).views] == [size]


@_row("detector", "lr")
def _lr_flag(kit: Kit) -> None:
    for rate in (0.5, 0.1):  # the first steps of a hundred of warm-up
        rates = kit.detector("--lr", rate, "--steps", 2).rates
        assert rates == pytest.approx([rate / 100, rate / 50])


@_row("detector", "warmup")
def _warmup_flag(kit: Kit) -> None:
    for steps in (2, 5):
        rates = kit.detector("--warmup", steps, "--lr", 1, "--steps", 2).rates
        assert rates == pytest.approx([1 / steps, 2 / steps])


@_row("detector", "average")
def _average_flag(kit: Kit) -> None:
    for decay in (0.5, 0.9):
        assert kit.detector("--average", decay).run.average._decay == decay
    assert kit.detector("--average", 1).code == 2


@_row("detector", "weight_decay")
def _weight_decay_flag(kit: Kit) -> None:
    for decay in (0.0, 0.4):
        (part,) = kit.detector("--weight_decay", decay).task.optimizers["optimizer"].param_groups
        assert part["weight_decay"] == decay


# The table.


def test_every_tool_flag_has_a_row_and_every_row_a_flag() -> None:
    """A new flag of a tool needs two values that give two right results here."""
    assert TABLE.rows.keys() == TABLE.flags()


@pytest.mark.parametrize(
    ("script", "flag"), list(TABLE.rows), ids=[f"{s}-{f}" for s, f in TABLE.rows]
)
def test_tool_flag_gives_each_value_its_own_result(script: str, flag: str, kit: Kit) -> None:
    """Two values, and what each does."""
    TABLE.rows[script, flag](kit)
