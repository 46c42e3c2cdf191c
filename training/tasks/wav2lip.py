"""A training run of one of Wav2Lip's networks: its data and its part of the loop (fit.py)."""

import math
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import weights
from models.device import torch_device
from models.features import FRAME_RATE
from models.syncnet import SyncNet, SyncNetConfig
from models.wav2lip import EXPERT_FRAMES, SyncNetColor, Wav2LipDiscriminator
from pipeline.progress import Progress, silent
from training.batches.expert_excerpts import EXCERPT_FRAMES, ExpertBatch, expert_batch
from training.batches.face_batches import LEAST_FRAMES, face_batch
from training.batches.speech2vid_batches import speech2vid_batch
from training.data import people, samples
from training.data.face_data import FaceSource, Teacher, load_faces
from training.data.faces import FaceClip
from training.data.preprocessed import listed_videos
from training.loop import resume
from training.loop.distributed import Processes, leader_first, processes
from training.loop.fit import fit
from training.loop.journal import Beginning
from training.loop.resume import Origin
from training.loop.task import Report, Task
from training.objectives import teacher
from training.objectives.wav2lip_objectives import LossWeights
from training.tasks import wav2lip_module
from training.tasks.wav2lip_module import AnyBatch, Judge, Network, TrainingModule, draw_samples
from training.tasks.wav2lip_options import (
    Stage,
    TrainOptions,
    another,
    check_options,
    check_weights,
    is_of,
    new_network,
    origin_of,
    same_config,
    say_without_expert,
)

NEEDED = (
    "state_dict",
    "optimizer",
    "average",
    "config",
    "translation",
    "discriminator",
    "global_step",
)
UNSEEN_BATCHES = 4  # of --val, always the same
UNSEEN_WINDOWS = 48  # of each, whatever --batch_size is: figures of two runs compare
UNSEEN_SEED = 20200823


@dataclass(frozen=True)
class Data:
    """Clips to train on, and the fixed batches of other people a run is judged by.

    Attributes:
        clips: trained on.
        unseen: batches of others.
        val_people: those of --data who are kept back for these, by name.
    """

    clips: list[FaceClip]
    unseen: list[AnyBatch]
    val_people: list[str] = field(default_factory=list)

    @property
    def taught_size(self) -> int:
        """Of the vectors of the expert's teacher; 0 without one."""
        return self.clips[0].taught_at(np.array([0])).shape[2]


def load_data(
    options: TrainOptions,
    *,
    say: bool,
    val_people: list[str] | None = None,
    progress: Progress = silent,
) -> Data:
    """Decodes, or finds decoded, what --data and --val name.

    Args:
        options: of the run.
        say: print what is used and what is left out.
        val_people: kept back so far by a run that goes on.
        progress: called after each clip.

    Raises:
        InputError: nothing is left to train on; the sentence says why.
    """
    cache = options.cache_folder
    expert, judge = options.stage == "expert", _judge_config(options)

    def load(folders: list[Path], part: str, *, say: bool) -> list[FaceClip]:
        source = FaceSource(
            cache=cache,
            cache_gb=options.cache_gb,
            min_confidence=options.min_confidence,
            max_offset=options.max_offset,
            least_frames=EXCERPT_FRAMES if expert else LEAST_FRAMES,
            video_names=listed_videos(options.filelists / part) if options.filelists else None,
            separate_voice=options.separate_voice,
        )
        return load_faces(
            folders,
            source,
            teacher=_teacher(options, cache, progress=progress),
            judge=judge,
            say=say,
            progress=progress,
        )

    clips = load(options.data, "train.txt", say=say)
    val = options.val or (options.data if options.filelists else [])
    kept_back: list[str] = []
    if options.val_share is not None:
        names = [face.clip.who for face in clips]
        share, seed = options.val_share, options.seed
        kept_back = people.kept_back(names, share=share, seed=seed, earlier=val_people)
        strangers = [face for face in clips if face.clip.who in kept_back]
        clips = [face for face in clips if face.clip.who not in kept_back]
        if say:
            print(f"{len(kept_back)} of {len(set(names))} people are kept back to report on")
    elif val:
        strangers = load(val, "val.txt", say=False)
    else:
        return Data(clips, [])
    how: dict[str, Any] = {"size": UNSEEN_WINDOWS, "seed": UNSEEN_SEED, "augmented": False}
    windows = partial(_batch, options.stage, strangers, judge=judge, **how)
    return Data(clips, [windows(step=step) for step in range(UNSEEN_BATCHES)], kept_back)


def _teacher(options: TrainOptions, cache: Path, *, progress: Progress) -> Teacher | None:
    if options.teacher == "none" or options.stage == "speech2vid":
        return None
    device = torch_device(options.device)
    model, weights_file = weights.load_syncnet(options.teacher, device=device)
    return partial(
        teacher.embed_clips,
        model=model,
        digest=weights_file.sha256,
        cache=cache,
        device=device,
        progress=progress,
    )


def _judge_config(options: TrainOptions) -> SyncNetConfig | None:
    """Of the SyncNet that judges a Speech2Vid."""
    if options.teacher == "none" or options.stage != "speech2vid":
        return None
    return weights.load_syncnet(options.teacher, device=torch.device("cpu"))[0].config


def _batch(
    stage: Stage, clips: list[FaceClip], *, judge: SyncNetConfig | None, **how: Any
) -> AnyBatch:
    if stage == "speech2vid":
        return speech2vid_batch(clips, judge=judge, **how)
    return (expert_batch if stage == "expert" else face_batch)(clips, **how)


class Wav2LipTask(Task):
    """A generator, alone or against a discriminator, or an expert, as `fit` trains it.

    Attributes:
        module: the network with its losses' networks.
        weighted: parts of the generator's loss; the expert's is switched on later.
        data: training clips and windows of --val.
    """

    script = "train_wav2lip.py"
    step_name = "global_step"

    def __init__(
        self, module: TrainingModule, options: TrainOptions, data: Data, group: Processes
    ) -> None:
        """Before the first step; everything is on the device it is trained on."""
        self.module, self.network, self.data = module, module.model, data
        self._options, self._group = options, group
        other, translation = module.discriminator, module.translation
        trained = [*module.model.parameters()]
        if translation is not None:
            trained += translation.parameters()
        self.networks = {
            "state_dict": module.model,
            "translation": translation,
            "discriminator": other,
        }
        self.optimizers = {
            "optimizer": torch.optim.AdamW(trained, weight_decay=options.weight_decay),
            # With the usual betas a discriminator follows the generator too slowly.
            "rival": torch.optim.Adam(other.parameters(), betas=(0.5, 0.999)) if other else None,
        }
        self.pace = "windows_per_s", options.batch_size
        self.precision = options.arithmetic(group.device)
        self.weighted = LossWeights(
            adversarial=options.adversarial_weight if other else 0.0,
            mouth=options.mouth_weight,
            structure=options.structure_weight,
            detail=options.detail_weight,
            taught=options.taught_weight,
            apart=max(1, math.ceil((options.shift_s or 0) * FRAME_RATE / EXPERT_FRAMES)),
        )
        if options.sync_at == 0:
            self._switch_on()

    def beginning(self, step: int) -> list[str]:
        """Everything about the run that is known before its first step."""
        options, clips = self._options, [face.clip for face in self.data.clips]
        named = {"gan": "generator and discriminator", "speech2vid": "Speech2Vid"}
        beginning = Beginning(
            network=f"{named.get(options.stage, options.stage)} of width {options.width:g}",
            parameters=sum(p.numel() for p in self.module.parameters()),
            device=str(self._group.device),
            precision=self.precision,
            clips=len(clips),
            videos={clip.reference for clip in clips},
            minutes=samples.minutes(clips),
        )
        lines = beginning.lines(options.run)
        if options.stage == "expert" and self._only_taught(step):
            lines.append(
                f"up to step {options.taught_steps} the expert learns from --teacher alone: "
                "accuracy stays at chance, 0.5, until pairs are compared"
            )
        if self.module.expert is not None and not self.weighted.sync:
            lines.append(
                "sync is the expert's loss: reported, with weight 0 until it is switched on"
            )
        return lines

    def _only_taught(self, step: int) -> bool:
        return step < self._options.taught_steps and self.data.taught_size > 0

    def weighted_at(self, step: int) -> LossWeights:
        """Parts of the loss at a step: an expert asks for no pair while it is only taught."""
        return replace(self.weighted, pairs=float(not self._only_taught(step)))

    def batch(self, step: int) -> AnyBatch:
        """This process's windows of a step."""
        return _batch(
            self._options.stage,
            self.data.clips,
            judge=self.module.expert.config if isinstance(self.module.expert, SyncNet) else None,
            size=self._options.batch_size,
            seed=self._options.seed,
            step=step,
            share=slice(self._group.rank, None, self._group.world),
        )

    def losses(
        self, batch: AnyBatch, step: int
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """The network's loss and the discriminator's."""
        self.module.train()
        if self.module.expert is not None:
            self.module.expert.eval()
        loss, other, parts = self.module(
            batch.to(self._group.device), self.weighted_at(step), self.precision == "bf16"
        )
        return {"optimizer": loss} | ({} if other is None else {"rival": other}), parts

    def report_due(self, step: int) -> bool:
        """Where there are other people."""
        return bool(self.data.unseen) and step % self._options.eval_every == 0

    def report(self, average: Network, step: int) -> Report:
        """Losses of the averaged network on other people; of a generator a picture."""
        judged = self._judged(average)
        first = self.data.unseen[0]
        if self._group.leads and not isinstance(first, ExpertBatch):
            assert not isinstance(average, SyncNetColor)
            draw_samples(average, first, self._options.run / f"samples_{step:06d}.png")
        return Report({f"unseen {name}": value for name, value in judged.items()})

    def _judged(self, network: Network) -> dict[str, float]:
        device, expert = self._group.device, self.module.expert
        return wav2lip_module.judge(network, self.data.unseen, device, expert=expert)

    def after_step(self, step: int, row: dict[str, float], report: Report | None) -> dict[str, Any]:
        """Switches the expert's loss on where it is time to."""
        value = report.figures.get("unseen sync", float("inf")) if report else float("inf")
        if value < self._options.sync_from or step == self._options.sync_at:
            return self._switch_on()
        return {}

    def _switch_on(self) -> dict[str, Any]:
        weight = self._options.sync_weight
        if self.module.expert is None or self.weighted.sync == weight:
            return {}
        self.weighted = replace(self.weighted, sync=weight)
        return {"sync_weight": weight}

    def state(self) -> dict[str, Any]:
        """What the published checkpoints hold besides, and whether the expert's loss is on."""
        config = self.network.config.to_json()
        own = {"sync_weight": self.weighted.sync, "val_people": self.data.val_people}
        return {"global_epoch": 0, "config": config, **own}

    def restore(self, state: dict[str, Any], origin: Origin | None) -> str:
        """The inverse of `state`."""
        self.weighted = replace(self.weighted, sync=state["sync_weight"])
        return ""

    def ending(self, step: int) -> list[str]:
        """Last lines of a run: where the weights are, and the next command."""
        options = self._options
        if options.stage != "expert":
            after = (
                "python run_wav2lip.py --checkpoint {file} --reference NAME --audio SPEECH.wav, "
                "or python -m training.evaluate_mouths --checkpoint {file} --data OTHERS"
            )
            return options.where(after=after, script_flag="--checkpoint of run_wav2lip.py")
        after = (
            "python train_wav2lip.py --stage generator --expert {file} --data TRACKS --run GEN, "
            "or python -m training.evaluate_expert --expert {file} --data OTHERS"
        )
        lines = options.where(after=after, script_flag="--expert of train_wav2lip.py")
        if self.data.taught_size and step <= options.taught_steps:
            warning = (
                f"WARNING: this expert has been trained on no pair: --steps {options.steps} ends "
                f"before --taught_steps {options.taught_steps} are over; go on with more --steps."
            )
            return [warning, *lines]
        return lines

    def facts(self, network: Network) -> dict[str, Any]:
        """Data and figures, for the model card."""
        options = self._options
        module = f"{type(network).__module__.replace('.', '/')}.py"
        return {
            "network": f"{type(network).__name__} ({module}), width {options.width}",
            "data": {
                "tracks": len(self.data.clips),
                "minutes": round(samples.minutes([face.clip for face in self.data.clips]), 1),
                "data_dirs": [folder.name for folder in options.data],
                "people_kept_back": self.data.val_people,
            },
            "unseen_people": self._judged(network) if self.data.unseen else None,
            "unseen_windows": len(self.data.unseen) * UNSEEN_WINDOWS,
        }


def train(options: TrainOptions, *, progress: Progress = silent) -> int:
    """Trains as the flags say; returns the exit code."""
    with processes(torch_device(options.device)) as group:
        check_options(options, group)
        if group.leads and options.stage != "expert" and options.sync_weight:
            say_without_expert(options)
        origin = origin_of(options)
        state = resume.earlier_checkpoint(options, origin, needed=NEEDED, say=group.leads)
        if state and not same_config(state["config"], options.config):
            raise another(options)
        check_weights(options)
        options.run.mkdir(parents=True, exist_ok=True)
        with leader_first(group):
            kept_back = state.get("val_people") if state else None
            data = load_data(options, say=group.leads, val_people=kept_back, progress=progress)
        if state and not is_of(state, options.stage, taught_size=data.taught_size):
            raise another(options)
        module = _module(options, group, taught_size=data.taught_size, fresh=not state)
        task = Wav2LipTask(module, options, data, group)
        return fit(task, options, group, origin=origin, state=state)


def _module(
    options: TrainOptions, group: Processes, *, taught_size: int, fresh: bool
) -> TrainingModule:
    """The network a run starts from, with expert and discriminator."""
    torch.manual_seed(options.seed)
    model = new_network(options)
    if options.init and fresh:
        weights.fill(model, options.init)
    expert: Judge | None = None
    if options.stage == "speech2vid":
        if options.teacher != "none":
            expert = weights.load_syncnet(options.teacher, device=group.device)[0]
    elif options.stage != "expert" and options.expert:
        expert = weights.load_expert(options.expert, device=group.device)[0]
    other = Wav2LipDiscriminator(options.config) if options.stage == "gan" else None
    module = TrainingModule(model, expert=expert, discriminator=other, taught_size=taught_size)
    # Convolutions of few channels are fastest with the channels last.
    return module.to(group.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
