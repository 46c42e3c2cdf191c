"""The log of a training run: train.jsonl, losses and curves, TensorBoard, the screen."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pipeline.store.files import write_text
from pipeline.store.folders import held_lock
from training.loop.checkpoint import replacing, unwritable

SMOOTHED_ROWS = 25
UNSEEN = "unseen "  # before the names of figures on --val
LOSS_FILES = {"train_loss.csv": "loss", "val_loss.csv": "unseen loss"}
SHOWN_NAMES = 3  # of a list, on the screen
FILED_NAMES = ("data_s", "gradient")  # in the log only, not on the screen
FEW_MINUTES = 30  # below, a network learns these people only
ESTIMATE_STEPS = 3  # the first one is slower than the others
LONG_STEP_S = 10.0


@dataclass(frozen=True)
class Beginning:
    """Summary of a run, printed before the first step.

    Attributes:
        network: its name, with its kind or size.
        parameters: how many are trained.
        device: where it is trained.
        precision: of a step.
        clips: how many.
        videos: names of what they are from; clips of one video are of one person or few.
        minutes: how long they are together.
    """

    network: str
    parameters: int
    device: str
    precision: str
    clips: int
    videos: set[str]
    minutes: float

    def lines(self, folder: Path) -> list[str]:
        """To print, warnings included; `folder` is the run's."""
        videos = len(self.videos)
        of_videos = f"{videos} video{'s' * (videos != 1)}"
        clips = f"{self.clips} clip{'s' * (self.clips != 1)}"
        lines = [
            f"{self.network}, {self.parameters:,} parameters, on {self.device}, "
            f"precision {self.precision}",
            f"{clips} of {of_videos}, {self.minutes:.1f} minutes",
            f"{folder / 'train.jsonl'} holds every number, {folder / 'curves.png'} shows them",
        ]
        if videos == 1:
            lines.append(
                "WARNING: all clips are of one video. What is learned from one person does not "
                "hold for others; add videos of other people."
            )
        if self.minutes < FEW_MINUTES:
            lines.append(
                f"WARNING: {self.minutes:.1f} minutes are too few for a network that is to work "
                "for people it has not seen: that takes hours, of many people."
            )
        return lines


class Journal:
    """The log of a run; a resumed run goes on with it, and a second one at the same time cannot.

    Rows after the step a run resumes at are removed first: the killed run had written them, and
    the resumed one will again.
    """

    def __init__(self, folder: Path, *, step: int, seconds: float, total_steps: int) -> None:
        """Opens the log.

        Args:
            folder: of the run.
            step: the run starts or goes on at.
            seconds: spent before.
            total_steps: of the run.

        Raises:
            PipelineError: another run is working in the folder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = held_lock(
            folder / ".run.lock",
            busy=f"Another run is training in {folder}; wait for it, stop it, or use another "
            "--run.",
        )
        self._file = folder / "train.jsonl"
        self._picture = folder / "curves.png"
        # A run that starts anew keeps nothing of one that left no checkpoint.
        self._rows = [row for row in read_rows(self._file) if row["step"] <= step and step]
        text = "".join(json.dumps(row) + "\n" for row in self._rows)
        write_text(self._file, text)
        self._board = _tensorboard(folder / "tensorboard", step=step)
        self._total_steps = total_steps
        self._first_step, self._earlier_s = step, seconds
        self._started_s = time.monotonic()
        self._estimated = False

    @property
    def seconds(self) -> float:
        """Spent training, in this session and those before."""
        return self._earlier_s + time.monotonic() - self._started_s

    def steps_per_second(self, step: int) -> float:
        """Since this session's start, pauses for reports included."""
        return (step - self._first_step) / (time.monotonic() - self._started_s)

    def estimate(self, step: int) -> None:
        """Prints once, after the first steps, how long the rest will take."""
        steps_so_far, spent_s = step - self._first_step, time.monotonic() - self._started_s
        if (
            self._estimated
            or not steps_so_far
            or (steps_so_far < ESTIMATE_STEPS and spent_s < LONG_STEP_S)
        ):
            return
        self._estimated = True
        if rest := self._total_steps - step:
            step_s = spent_s / steps_so_far
            remaining = f"{rest} steps of {step_s:.2g} s, and reports"
            print(f"{_duration(step_s * rest)} to go: {remaining}", flush=True)

    def write(self, step: int, values: dict[str, Any]) -> None:
        """One row: to the log, to TensorBoard (numbers only) and to the screen.

        Args:
            step: it belongs to.
            values: JSON values by name.
        """
        self._append({"step": step, "seconds": round(self.seconds, 1)} | values)
        for name, value in values.items():
            if self._board and isinstance(value, int | float):
                self._board.add_scalar(name, value, step)
        print(self._line(step, values), flush=True)

    def record(self, step: int, options: dict[str, Any]) -> None:
        """A row of the options a run is made with, unless the last such row says the same.

        Args:
            step: the run starts or goes on at.
            options: plain values by name.
        """
        said = [row["options"] for row in self._rows if "options" in row]
        if not said or said[-1] != options:
            self._append({"step": step, "seconds": round(self.seconds, 1), "options": options})

    def _append(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        try:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise unwritable(self._file, error) from error

    def _line(self, step: int, values: dict[str, Any]) -> str:
        steps_so_far = step - self._first_step
        spent_s = time.monotonic() - self._started_s
        remaining_s = spent_s / steps_so_far * (self._total_steps - step) if steps_so_far else 0.0
        named = {name: value for name, value in values.items() if name not in FILED_NAMES}
        numbers = "  ".join(f"{name} {_short(value)}" for name, value in named.items())
        remaining = f"  ({_minutes(remaining_s)} left)" if step < self._total_steps else ""
        return f"step {step}/{self._total_steps}  {numbers}{remaining}"

    def draw(self) -> None:
        """The curves of every number so far, as a picture, and those of the losses as tables."""
        names = sorted({name for row in self._rows for name in row} - {"step", "seconds"})
        curves = {name: curve for name in names if (curve := self._curve(name))}
        if not curves:
            return
        for file, name in LOSS_FILES.items():
            if name in curves:
                rows = (f"{step},{value!r}\n" for step, value in curves[name])
                write_text(self._picture.with_name(file), "step,loss\n" + "".join(rows))
        # What is measured on other people lies over the same of the batches.
        panels = [
            name for name in curves if name.removeprefix(UNSEEN) not in curves.keys() - {name}
        ]
        figure = Figure(figsize=(10, 2.2 * len(panels)), layout="constrained")
        axes = figure.subplots(len(panels), squeeze=False)[:, 0]
        for name, axis in zip(panels, axes, strict=True):
            steps, values = zip(*curves[name], strict=True)
            axis.plot(steps, values, linewidth=0.6, alpha=0.5)
            axis.plot(steps, _smoothed(values), linewidth=1.5, label="training")
            if unseen := curves.get(UNSEEN + name):
                axis.plot(*zip(*unseen, strict=True), marker="o", label="other people")
                axis.legend()
            axis.set_ylabel(name)
        axes[-1].set_xlabel("step")
        with replacing(self._picture) as partial:
            figure.savefig(partial, dpi=80, format="png")

    def _curve(self, name: str) -> list[tuple[int, float]]:
        """Steps and values of a number that is measured, not counted."""
        rows = [row for row in self._rows if isinstance(row.get(name), float)]
        return [(row["step"], row[name]) for row in rows]

    def close(self) -> None:
        """Draws the curves a last time, and lets another run into the folder."""
        try:
            self.draw()
            if self._board:
                self._board.close()
        finally:
            self._lock.release()


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a train.jsonl; a last line that a killed run left half written is not one."""
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else "<1 min"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return "less than a minute"
    hours = seconds / 3600
    return f"about {hours:.1f} hours" if hours >= 2 else f"about {seconds / 60:.0f} min"


def _short(value: Any) -> str:
    if isinstance(value, list):
        more = f" and {len(value) - SHOWN_NAMES} more" if len(value) > SHOWN_NAMES else ""
        return (", ".join(map(str, value[:SHOWN_NAMES])) or "none") + more
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _smoothed(values: tuple[float, ...]) -> list[float]:
    return [
        sum(values[max(0, i - SMOOTHED_ROWS + 1) : i + 1])
        / len(values[max(0, i - SMOOTHED_ROWS + 1) : i + 1])
        for i in range(len(values))
    ]


def _tensorboard(folder: Path, *, step: int) -> Any:
    """TensorBoard's writer where it is installed (an extra: pip install tensorboard), else None."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)
