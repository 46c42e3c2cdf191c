"""`python -m training.calibrate`: each flag reaches what it is for, and the file is a network."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import weights
from models.syncnet import SyncNet
from pipeline.sync import reliability
from tests.train_kit import TINY
from training import calibrate, card
from training.data import samples
from training.data.samples import Clip, Loaded
from training.evaluate.reliability_fit import Options, Piece


class Seen:
    """Arguments of the slow parts, which are replaced."""

    def __init__(self) -> None:
        self.measured: list[tuple[list[str], Options, str]] = []
        self.caches: list[Path] = []
        self.persons: list[dict[str, str]] = []


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Replaces tracks by names and pieces by made-up ones, and records the calls.

    There are twenty pieces of each clip. In a folder called misleading somebody else's sound fits
    as well as one's own.
    """
    calls = Seen()

    def files(folders: list[Path]) -> list[Path]:
        return [folder / "pycrop" / name / "0.avi" for folder in folders for name in "ab"]

    def load(files: list[Path], *_: object, cache: Path, margin: bool, **__: object) -> Loaded:
        calls.caches.append(cache)
        assert not margin
        sound = np.zeros(1, np.int16)
        return Loaded(
            [
                Clip(f"{file.parents[2].name}/{file.parent.name}/0", np.zeros((1, 1)), sound)
                for file in files
            ],
            {"broken": "no sound"},
        )

    def measure(
        _: SyncNet,
        clips: list[Clip],
        *,
        options: Options,
        persons: dict[str, str],
        device: torch.device,
        **__: object,
    ) -> list[Piece]:
        calls.persons.append(persons)
        fits = clips[0].reference.startswith("misleading")
        calls.measured.append(([clip.reference for clip in clips], options, str(device)))
        rng = np.random.default_rng(options.seed)
        return [
            Piece(
                f"p{index % 8}",
                125,
                120,
                reliability.numbers(
                    rng.normal(10, 1, (120, 31)) - 2 * (own or fits) * (np.arange(31) == 15),
                    audible_share=1,
                ),
                not own,
                own or None,
            )
            for index in range(20 * len(clips))
            for own in (True, False)
        ]

    monkeypatch.setattr(samples, "clip_files", files)
    monkeypatch.setattr(samples, "load_clips", load)
    monkeypatch.setattr(calibrate.reliability_fit, "measure", measure)
    return calls


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Weights of a small network that was never calibrated."""
    torch.manual_seed(3)
    file = tmp_path / "tiny.safetensors"
    weights.write_own(SyncNet(TINY), file, config=TINY)
    return file


def _run(tmp_path: Path, tiny: Path, *flags: object) -> int:
    base = ("--data", tmp_path / "x", "--weights", tiny, "--device", "cpu")
    return calibrate.main([str(flag) for flag in (*base, *flags)])


def test_exported_weights_are_the_same_network_calibrated(
    tmp_path: Path, tiny: Path, recorder: Seen, capsys: pytest.CaptureFixture[str]
) -> None:
    """--weights, --export, --json: nothing but the configuration differs; figures are written."""
    out, figures = tmp_path / "out.safetensors", tmp_path / "figures.json"
    assert _run(tmp_path, tiny, "--export", out, "--json", figures) == 0
    model, _ = weights.load_syncnet(out, device=torch.device("cpu"))
    before, _ = weights.load_syncnet(tiny, device=torch.device("cpu"))
    for name, value in before.state_dict().items():
        assert torch.equal(value, model.state_dict()[name])
    assert not before.config.is_calibrated and model.config.is_calibrated
    assert model.config.calibration is not None and model.config.calibration.people == 8
    assert model.config.calibration.vshift == Options().vshift == 15
    output = capsys.readouterr()
    assert "out.safetensors written; the model card is out.json beside it" in output.out
    assert "broken: no sound" in output.err
    table = json.loads(figures.read_text())
    assert table["weights"]["file"] == "tiny.safetensors" and set(table) == {"weights", "fitted_on"}
    (row,) = table["fitted_on"]
    assert row["seconds"] == 5 and row["own"] == row["foreign"] == 40
    assert json.dumps(row) in output.out
    assert not (tmp_path / "figures.json.partial").exists()


def test_card_of_calibrated_weights_holds_figures_and_the_earlier_card(
    tmp_path: Path, tiny: Path, recorder: Seen
) -> None:
    """Written by the code of all cards; a card beside other weights is not taken."""
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    assert _run(tmp_path, tiny, "--export", first, "--seed", 3) == 0
    plain = card.read(first)
    assert plain is not None and plain["starts_from"]["card"] is None
    assert plain["starts_from"]["file"] == "tiny.safetensors"
    assert plain["data"] == {"tracks": 2, "data_dirs": ["x"]}
    assert plain["command"] == (
        "python -m training.calibrate --data x --device cpu --val --val_without --in_sync "
        "--weights tiny.safetensors --export first.safetensors --pieces 400 --foreign 4 --seed 3"
    )
    assert plain["calibration"]["fitted_on"][0]["own"] == 40
    assert plain["parameters"] == sum(p.numel() for p in SyncNet(TINY).parameters())
    assert plain["reliable_from"]["reliable_confidence"] == TINY.reliable_confidence
    assert _run(tmp_path, first, "--export", second) == 0
    again = card.read(second)
    assert again is not None and again["starts_from"]["card"] == plain
    first.write_bytes(first.read_bytes() + b" ")
    assert card.read(first) is None


def test_other_people_are_measured_with_another_seed(
    tmp_path: Path, tiny: Path, recorder: Seen, capsys: pytest.CaptureFixture[str]
) -> None:
    """--val, --val_without, --seed, --pieces, --foreign, --cache, --device."""
    flags = ("--val", tmp_path / "v", "--val_without", "b", "--seed", 5, "--pieces", 7)
    assert _run(tmp_path, tiny, *flags, "--foreign", 2, "--cache", tmp_path / "c") == 0
    assert [references for references, _, _ in recorder.measured] == [["x/a", "x/b"], ["v/a"]]
    options = [options for _, options, _ in recorder.measured]
    assert options == [Options(pieces=7, foreign=2, seed=5), Options(pieces=7, foreign=2, seed=6)]
    assert {device for _, _, device in recorder.measured} == {"cpu"}
    assert recorder.caches == [tmp_path / "c"] * 2
    assert "other people" in capsys.readouterr().out


def test_other_people_check_what_was_fitted_without_them(
    tmp_path: Path, tiny: Path, recorder: Seen
) -> None:
    """Sounds that would mislead the network are called reliable, and the figures say so."""
    figures = tmp_path / "figures.json"
    flags = ("--val", tmp_path / "misleading", "--val_without", "b", "--json", figures)
    assert _run(tmp_path, tiny, *flags) == 0
    table = json.loads(figures.read_text())
    (fitted,), (others,) = table["fitted_on"], table["other_people"]
    assert (fitted["own"], others["own"]) == (40, 20)
    assert fitted["foreign_reliable"][0] < 0.1 and others["foreign_reliable"][0] > 0.5


def test_recordings_in_sync_set_the_zero_before_anything_is_measured(
    tmp_path: Path,
    tiny: Path,
    recorder: Seen,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """--in_sync: its people count once each; file, card, figures and output have the zero."""
    studio, out, figures = tmp_path / "studio", tmp_path / "out.safetensors", tmp_path / "f.json"
    _people(studio, a="anna", b="anna")
    zeros: list[float] = []

    def set_zero(model: SyncNet, clips: list[Clip], *, device: torch.device) -> dict[str, float]:
        assert [(clip.reference, clip.who) for clip in clips] == [
            ("studio/a", "anna"),
            ("studio/b", "anna"),
        ]
        assert not recorder.measured and device.type == "cpu"
        model.config = replace(model.config, zero_ms=12.5)
        return {"zero_ms": 12.5}

    measure = calibrate.reliability_fit.measure

    def measured(model: SyncNet, *args: Any, **keywords: Any) -> list[Piece]:
        zeros.append(model.config.zero_ms)
        return measure(model, *args, **keywords)

    monkeypatch.setattr(calibrate, "set_zero", set_zero)
    monkeypatch.setattr(calibrate.reliability_fit, "measure", measured)
    flags = ("--in_sync", studio, "--val", tmp_path / "v", "--export", out, "--json", figures)
    assert _run(tmp_path, tiny, *flags) == 0
    assert zeros == [12.5, 12.5]
    model, _ = weights.load_syncnet(out, device=torch.device("cpu"))
    assert model.config.zero_ms == 12.5 and model.config.calibration is not None
    made = card.read(out)
    assert made is not None and made["zero"] == {"zero_ms": 12.5}
    assert made["options"]["in_sync"] == ["studio"] and "--in_sync studio" in made["command"]
    assert json.loads(figures.read_text())["zero"] == {"zero_ms": 12.5}
    assert 'in sync {"zero_ms": 12.5}' in capsys.readouterr().out


def _people(folder: Path, **persons: str) -> None:
    folder.mkdir()
    rows = [f"{reference},{person}\n" for reference, person in persons.items()]
    (folder / "people.csv").write_text("reference,person\n" + "".join(rows))


def test_who_is_on_which_clip_is_read_of_both_sides(
    tmp_path: Path, tiny: Path, recorder: Seen
) -> None:
    """For the pieces of both, which are of people; nobody may be on both sides."""
    _people(tmp_path / "x", a="anna")
    _people(tmp_path / "v", a="vera")
    _people(tmp_path / "w", b="anna")
    assert _run(tmp_path, tiny, "--val", tmp_path / "v") == 0
    assert recorder.persons == [{"x/a": "anna", "v/a": "vera"}] * 2
    with pytest.raises(calibrate.InputError, match="anna is in --data and in --val"):
        _run(tmp_path, tiny, "--val", tmp_path / "w")
    assert len(recorder.measured) == 2


@pytest.mark.parametrize(("word", "file"), [("auto", "syncnet_small"), ("judge", "judge_small")])
def test_the_card_of_bundled_weights_goes_with_what_is_made_of_them(
    word: str, file: str, tmp_path: Path, recorder: Seen
) -> None:
    """Of both that are named by a word."""
    out = tmp_path / "out.safetensors"
    assert _run(tmp_path, Path(word), "--export", out) == 0
    made, bundled = card.read(out), weights.OWN_DIR / f"{file}.json"
    assert made is not None and made["starts_from"]["file"] == f"{file}.safetensors"
    assert made["starts_from"]["card"] == json.loads(bundled.read_text("utf-8"))


def test_defaults_measure_without_a_lasting_cache(
    tmp_path: Path, tiny: Path, recorder: Seen
) -> None:
    """Nothing is left behind where no file was asked for."""
    assert _run(tmp_path, tiny) == 0
    assert [options for _, options, _ in recorder.measured] == [Options()]
    assert not recorder.caches[0].exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.safetensors"]


def test_every_flag_is_named_in_a_test() -> None:
    """A new flag without a test fails."""
    flags = {action.dest for action in calibrate.build_parser()._actions} - {"help"}
    text = Path(__file__).read_text("utf-8")
    assert not {flag for flag in flags if f"--{flag}" not in text}


def test_the_folder_to_export_to_is_looked_at_first(
    tmp_path: Path, tiny: Path, recorder: Seen
) -> None:
    """The folder is checked before the measurement, and so is a person on both sides."""
    with pytest.raises(calibrate.InputError, match="is not a folder"):
        _run(tmp_path, tiny, "--export", tmp_path / "absent" / "out.safetensors")
    for name in ("out.pt", "out"):
        with pytest.raises(calibrate.InputError, match=r"must end in \.safetensors"):
            _run(tmp_path, tiny, "--export", tmp_path / name)
    with pytest.raises(calibrate.InputError, match="x/a is in --data and in --val"):
        _run(tmp_path, tiny, "--val", tmp_path / "x")
    assert recorder.measured == []


def test_a_margin_that_was_measured_is_a_calibration_too() -> None:
    """Of older weights of our own; with neither nothing is reliable, however sure it looks."""
    margin = replace(TINY, reliable_confidence=2.5, reliable_margin=0.5)
    assert margin.is_calibrated and margin.rule["reliable_confidence"] == 2.5
    assert margin.rule["reliable_margin"] == 0.5
    neither = replace(TINY, reliable_confidence=2.5, reliable_margin=0.0)
    assert not neither.is_calibrated and neither.rule["reliable_confidence"] == np.inf
