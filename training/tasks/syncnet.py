"""A training run of a SyncNet: its part of the loop (fit.py), and calibration at the end."""

import copy
import math
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from models import weights
from models.device import torch_device
from models.syncnet import SIAMESE, SMALL, SyncNet, SyncNetConfig
from pipeline.errors import InputError
from pipeline.progress import Progress, silent
from training.batches import excerpts
from training.batches.excerpts import Batch, Draw
from training.data import samples
from training.evaluate import judging
from training.evaluate.agreement import agreement
from training.evaluate_sync import figures
from training.loop import resume
from training.loop.distributed import Processes, processes
from training.loop.fit import fit
from training.loop.journal import Beginning
from training.loop.resume import Origin
from training.loop.task import Report, Task
from training.objectives.contrastive import OBJECTIVES, DistanceBCE, Objective
from training.tasks.calibration import calibrate
from training.tasks.syncnet_data import Data, load_data
from training.tasks.syncnet_module import TrainingModule, still_guessing
from training.tasks.syncnet_options import TrainOptions, check_options

NEEDED = ("lesson", "optimizer", "average", "config", "offsets_ms", "dropped", "step", "best")
GUESSING_STEPS = 400  # by then every healthy run is past a guess


class SyncNetTask(Task):
    """A SyncNet as `fit` trains it.

    Attributes:
        module: network and objective.
        clips: those trained on, with the lags known so far.
        dropped: names of clips left out by the network's own judgement.
        data: training clips, drawn heads and clips of --val.
    """

    script = "train_syncnet.py"
    half = False
    largest_gradient = 3.0

    def __init__(
        self,
        model: SyncNet,
        objective: Objective,
        options: TrainOptions,
        data: Data,
        group: Processes,
    ) -> None:
        """Before the first step; network and objective are on the device they are trained on."""
        self.module, self.network = TrainingModule(model, objective), model
        of_objective = list(objective.parameters())  # a `PairSigmoid` of the network among them
        numbers = {id(parameter) for parameter in of_objective}
        towers = [p for p in model.parameters() if id(p) not in numbers]
        optimizer = torch.optim.AdamW(
            [
                {"params": towers, "weight_decay": options.weight_decay},
                {"params": of_objective, "weight_decay": 0.0},
            ]
        )
        self.networks = {"lesson": self.module}
        self.optimizers = {"optimizer": optimizer}
        self.changes_at = options.refine_at
        self.pace = "excerpts_per_s", options.excerpts
        self.patience = options.patience
        self.precision = options.arithmetic(group.device)
        self.data, self.clips = data, data.real
        self.dropped: list[str] = []
        self._options, self._group = options, group
        self._draw = Draw(
            options.seed,
            options.excerpts,
            options.grey,
            group.rank,
            group.world,
            across=options.negatives != "same",
            windows=options.windows,
        )
        start = model.state_dict().items() if options.init_share else ()
        self._start = {name: value.clone() for name, value in start}
        self._recent: deque[float] = deque(maxlen=100)
        self._calibrated: dict[str, Any] | None = None

    def beginning(self, step: int) -> list[str]:
        """Everything about the run that is known before its first step."""
        beginning = Beginning(
            network=f"SyncNet of {self.network.config.lip_size_px} px lips",
            parameters=sum(p.numel() for p in self.network.parameters()),
            device=str(self._group.device),
            precision=self.precision,
            clips=len(self.clips),
            videos={clip.reference for clip in self.clips},
            minutes=samples.minutes(self.clips),
        )
        guess = f"a guess gives an accuracy of {self.chance:.3f}"
        if self._options.objective == "multiway":
            guess += f" and a loss of {-math.log(self.chance):.2f}"
        return [*beginning.lines(self._options.run), guess]

    @property
    def chance(self) -> float:
        """Accuracy of a guess: one of two for a pairwise objective."""
        if self._options.objective != "multiway":
            return 0.5
        windows = self._options.windows or excerpts.window_count(self.network.config)
        share = self._options.excerpts // self._group.world
        choices = {
            "same": windows,
            "cross": windows * (share - 1) + 1,
            "both": windows * share,
        }
        return 1 / choices[self._options.negatives]

    def batch(self, step: int) -> Batch:
        """This process's excerpts of a step."""
        clips = self.clips + self.data.drawn
        return excerpts.draw_batch(clips, self.network.config, self._draw, step=step)

    def losses(
        self, batch: Batch, step: int
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """The objective's loss and accuracy."""
        self.module.train()
        lips, sound = (
            part.to(self._group.device, non_blocking=True) for part in (batch.lips, batch.sound)
        )
        loss, accuracy = self.module(lips, sound, batch.seeds, self.precision == "bf16")
        return {"optimizer": loss}, {"accuracy": accuracy}

    def change_clips(self, average: SyncNet) -> dict[str, Any]:
        """Finds out the clips' lags, and which clips disagree with themselves: of all there are."""
        self.clips, self.dropped = judging.refine(
            average, self.data.real, self._group, current=self.clips
        )
        return {"kept": len(self.clips), "left_out": self.dropped}

    def report_due(self, step: int) -> bool:
        """Where there are other people."""
        return bool(self.data.unseen) and step % self._options.eval_every == 0

    def report(self, average: SyncNet, step: int) -> Report:
        """Sync accuracy of the averaged network on other people."""
        mixed = self._mixed(average)
        agreeing = agreement(mixed, self.data.unseen, self._group, seed=self._options.seed)
        figures = {f"unseen {k}": v for k, v in agreeing.summary().items() if v is not None}
        return Report(figures, agreeing.share_right())

    def after_step(self, step: int, row: dict[str, float], report: Report | None) -> dict[str, Any]:
        """Says once whether the network has left chance behind."""
        self._recent.append(row["accuracy"])
        if step == GUESSING_STEPS and self._group.leads:
            warning = still_guessing(list(self._recent), self.chance)
            print(warning or f"a guess gives {self.chance:.3f}", flush=True)
        return {}

    def state(self) -> dict[str, Any]:
        """Configuration, offsets and dropped clips."""
        return {
            "config": self.network.config.to_json(),
            "offsets_ms": {clip.name: clip.offset_ms for clip in self.clips},
            "drifts_ms_per_min": {clip.name: clip.drift_ms_per_min for clip in self.clips},
            "dropped": self.dropped,
        }

    def restore(self, state: dict[str, Any], origin: Origin | None) -> str:
        """The inverse of `state`; new and changed clips join."""
        earlier: dict[str, int] = state.get("clips", {})
        now = origin.clips if origin else {}
        changed = {name for name in earlier if name in now and now[name] != earlier[name]}
        by_name = {clip.name: clip for clip in self.clips}
        drifts = state.get("drifts_ms_per_min", {})  # earlier checkpoints have none
        offsets_ms = {name: ms for name, ms in state["offsets_ms"].items() if name not in changed}
        self.dropped = [name for name in state["dropped"] if name not in changed]
        joining = [c for c in self.clips if c.name not in offsets_ms and c.name not in self.dropped]
        self.clips = [
            *(
                replace(by_name[name], offset_ms=ms, drift_ms_per_min=drifts.get(name, 0.0))
                for name, ms in offsets_ms.items()
                if name in by_name
            ),
            *joining,
        ]
        return f" with {len(self.clips)} clips"

    def ending(self, step: int) -> list[str]:
        """Where the weights are, and what comes next."""
        return self._options.where(
            after="python run_syncnet.py --initial_model {file} --videofile VIDEO, "
            "or python -m training.evaluate_sync --weights {file} --data OTHERS",
            script_flag="--initial_model of run_syncnet.py",
        )

    def finished(self, average: SyncNet) -> SyncNet:
        """The network calibrated on other people; without any, nothing of it is reliable."""
        average = self._mixed(average)
        without = self._without()
        clips = [clip for clip in self.data.unseen if clip.reference not in without]
        if self.data.unseen:
            self._calibrated = calibrate(average, clips, self._options, device=self._group.device)
        else:
            # Of the network it started from; these are other weights.
            average.config = replace(average.config, calibration=None, reliable_margin=0.0)
            print(
                "WARNING: without --val nothing is known of other people: no offset of these "
                "weights is called reliable until python -m training.calibrate has looked at some."
            )
        return average

    def _mixed(self, average: SyncNet) -> SyncNet:
        """The averaged network, moved towards the weights of the start by --init_share.

        The line from where fine-tuning starts to where it ends: Wortsman et al., "Robust
        fine-tuning of zero-shot models", CVPR 2022.
        """
        share = self._options.init_share
        if not share:
            return average
        mixed = copy.deepcopy(average)
        with torch.no_grad():
            for name, value in mixed.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(self._start[name].to(value.device), share)
        return mixed

    def _without(self) -> frozenset[str]:
        named = self._options.val_without
        return frozenset(
            clip.reference for clip in self.data.unseen if Path(clip.reference).name in named
        )

    def facts(self, network: SyncNet) -> dict[str, Any]:
        """Data, calibration and figures, for the model card."""
        options, config, calibrated = self._options, network.config, self._calibrated
        unseen_figures = None
        if self.data.unseen:
            unseen_figures = figures(
                network,
                self.data.unseen,
                without=self._without(),
                seed=options.seed,
                device=self._group.device,
            )
        return {
            "network": config.description,
            "data": {
                "tracks": len(self.data.real),
                "data_dirs": [folder.name for folder in options.data],
                "minutes": round(samples.minutes(self.data.real), 1),
                "kept": len(self.clips),
                "left_out_by_own_judgement": self.dropped,
                "drawn": f"{len(self.data.drawn)} drawn heads with sound of the clips "
                "(training/drawn/heads.py)",
            },
            "starts_from": options.init and Path(options.init).name,
            "reliable_from": config.reliable_from,
            "calibrated_on": "half of the unseen people" if calibrated else None,
            "reliable_on_the_other_half": calibrated and calibrated["table"],
            "unseen_people": unseen_figures,
        }


def train(options: TrainOptions, *, progress: Progress = silent) -> int:
    """Trains as the flags say; returns the exit code."""
    with processes(torch_device(options.device)) as group:
        check_options(options, group)
        origin = _origin(options)
        state = resume.earlier_checkpoint(options, origin, needed=NEEDED, say=group.leads)
        model = _network(options, say=group.leads)
        checkpoint = options.run / "checkpoint.pt"
        if state and not _is_of(state["config"], model.config):
            raise InputError(f"{checkpoint} is of another network; use another --run.")
        data = load_data(options, model.config, group, progress=progress)
        objective = _objective(options, model)
        modules = model.to(group.device), objective.to(group.device)
        task = SyncNetTask(*modules, options, data, group)
        if state and state["lesson"].keys() != task.module.state_dict().keys():
            raise InputError(f"{checkpoint} is of another objective; use another --run.")
        return fit(task, options, group, origin=origin, state=state)


def _network(options: TrainOptions, *, say: bool) -> SyncNet:
    """The network a run starts from."""
    torch.manual_seed(options.seed)
    config = SIAMESE if options.network == "siamese" else SMALL
    model = SyncNet(config)
    if options.init:
        model, weights_file = weights.load_syncnet(options.init, device=torch.device("cpu"))
        if options.network and not model.config.has_towers_of(config):
            raise InputError(
                f"--init {options.init} is no network of --network {options.network}; give "
                "weights that are, or leave --network out."
            )
        model.requires_grad_(True)
        if say:
            print(f"starts from {weights_file.file}")
    # Clips are taught with their median lag for zero, whatever that of the weights was.
    model.config = replace(model.config, zero_ms=0.0)
    if options.dropout is not None:
        model.config = replace(model.config, dropout=options.dropout)
    available = excerpts.window_count(model.config, options.windows)
    if options.windows and options.windows > available:
        raise InputError(f"--windows must be at most {available} for this network; see --help.")
    return model.with_pair_sigmoid(options.objective == "bce")


def _objective(options: TrainOptions, model: SyncNet) -> Objective:
    """What is asked of the network; the distance of a pair is judged by the network's sigmoid."""
    kind = OBJECTIVES[options.objective]
    more: dict[str, Any] = {}
    if kind is DistanceBCE:
        more = {"sigmoid": model.pair_sigmoid}
    elif options.refusal:
        more = {"refusal": options.refusal}
    scale = model.config.embedding_scale
    return kind(negatives=options.negatives, embedding_scale=scale, **more)


def _origin(options: TrainOptions) -> Origin:
    """What the run is made of; data folders and weights are found missing here, early."""
    described = {}
    if options.val:
        sizes = resume.clip_sizes(options.val)
        described["val"] = resume.described_folders(options.val, sizes)
    if options.init:
        described["init"] = resume.described_weights(weights.syncnet_weights(options.init))
    return resume.origin(options, resume.clip_sizes(options.data), described)


def _is_of(described: object, config: SyncNetConfig) -> bool:
    """The configuration of a checkpoint is this one; what an older one does not say is unset."""
    try:
        return SyncNetConfig.from_json(str(described)) == config
    except (TypeError, ValueError):
        return False
