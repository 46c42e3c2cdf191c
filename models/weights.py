"""Weight files: finding and reading them, without executing anything.

`auto` takes the published file where the user has it in `data/`, else the project's own small
weights, which are always there.
"""

import functools
import os
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard, TypeVar

import safetensors
import safetensors.torch
import torch
from torch import nn

from models import published
from models.errors import WeightsError
from models.files import partial_path, sha256
from models.options import check_choice
from models.s3fd import PUBLISHED as S3FD_PUBLISHED
from models.s3fd import S3FD, S3FDConfig
from models.s3fd import SMALL as S3FD_SMALL
from models.speech2vid import MouthNetwork, Speech2Vid, Speech2VidConfig, generator_config
from models.syncnet import PUBLISHED as SYNCNET_PUBLISHED
from models.syncnet import SyncNet, SyncNetConfig
from models.wav2lip import PUBLISHED as WAV2LIP_PUBLISHED
from models.wav2lip import SyncNetColor, Wav2Lip, Wav2LipConfig

ROOT = Path(__file__).resolve().parent.parent
OWN_DIR = ROOT / "models" / "weights"
# Where downloaded files are looked for; tests name a folder of their own.
PUBLISHED_DIR = Path(os.environ.get("SYNCNET_WEIGHTS") or ROOT / "data")

S3FD_OWN_FILE = "s3fd_small.safetensors"
SYNCNET_OWN_FILE = "syncnet_small.safetensors"
WAV2LIP_OWN_FILE = "wav2lip_small.safetensors"
EXPERT_OWN_FILE = "expert_small.safetensors"
JUDGE_OWN_FILE = "judge_small.safetensors"

LARGEST_NAMES_BYTES = 64_000_000  # of the names in a file of torch.save

S3FD_NAMES = ("auto", "s3fd", "small")

Network = TypeVar("Network", bound=nn.Module)
Config = TypeVar("Config", SyncNetConfig, Wav2LipConfig)


@dataclass(frozen=True)
class WeightsFile:
    """Name and digest of a weights file, as outputs record them."""

    file: str
    sha256: str


def load_s3fd(detector: str = "auto", *, device: torch.device) -> tuple[S3FD, WeightsFile]:
    """Loads a face detector ready for inference.

    Args:
        detector: "s3fd" (published weights in data/), "small" (the project's own), "auto".
        device: where it will run.

    Raises:
        InputError: there is no such detector.
        WeightsError: the file is absent or does not fit.
    """
    path, config = _s3fd_file(detector)
    model = S3FD(config)
    fill(model, path)
    return _ready(model, device), _weights_file(path)


def s3fd_weights(detector: str = "auto") -> WeightsFile:
    """What `load_s3fd` would load.

    Raises:
        InputError: there is no such detector.
        WeightsError: the file is absent.
    """
    return _weights_file(_s3fd_file(detector)[0])


def _s3fd_file(detector: str) -> tuple[Path, S3FDConfig]:
    check_choice("detector", detector, S3FD_NAMES)
    downloaded = PUBLISHED_DIR / published.table()["s3fd"].file
    if detector == "s3fd" and not downloaded.exists():
        raise WeightsError(
            f"{downloaded} is not there; run ./download_model.sh --only s3fd "
            "or use --detector small."
        )
    use_published = detector == "s3fd" or (detector == "auto" and downloaded.exists())
    return (downloaded, S3FD_PUBLISHED) if use_published else (OWN_DIR / S3FD_OWN_FILE, S3FD_SMALL)


def load_syncnet(
    initial_model: str | Path = "auto", *, device: torch.device
) -> tuple[SyncNet, WeightsFile]:
    """Loads a SyncNet ready for inference.

    Args:
        initial_model: a weights file, "auto", or "judge": the project's own that taught no other
            network and chooses no mouth.
        device: where it will run.

    Raises:
        WeightsError: the file is absent or does not fit.
    """
    path = syncnet_file(initial_model)
    model = SyncNet(_configured(path, SyncNetConfig.from_json, SYNCNET_PUBLISHED))
    fill(model, path)
    return _ready(model, device), _weights_file(path)


def network_of(initial_model: str | Path = "auto") -> str:
    """The network whose weights a file holds, as its metadata says it; "syncnet" without a word."""
    if str(initial_model) == "auto" or not Path(initial_model).is_file():
        return "syncnet"
    return metadata(Path(initial_model)).get("network", "syncnet")


def syncnet_weights(initial_model: str | Path = "auto") -> WeightsFile:
    """What `load_syncnet` would load.

    Raises:
        WeightsError: the file is absent.
    """
    return _weights_file(syncnet_file(initial_model))


def syncnet_file(initial_model: str | Path) -> Path:
    """Where that file is.

    Raises:
        WeightsError: it is absent.
    """
    if str(initial_model) == "judge":
        return OWN_DIR / JUDGE_OWN_FILE
    return _chosen(initial_model, ("syncnet",), SYNCNET_OWN_FILE)


def expert_weights(expert: str | Path = "auto") -> WeightsFile:
    """What `load_expert` would load.

    Raises:
        WeightsError: the file is absent.
    """
    return _weights_file(_chosen(expert, ("lipsync_expert",), EXPERT_OWN_FILE))


def load_wav2lip(
    checkpoint: str | Path = "auto", *, device: torch.device
) -> tuple[MouthNetwork, WeightsFile]:
    """Loads a generator ready for inference: the network that the file's configuration names.

    Args:
        checkpoint: a weights file, or "auto": the published one trained against a discriminator,
            else the published one trained without, else the project's own.
        device: where it will run.

    Raises:
        WeightsError: the file is absent or does not fit.
    """
    path = _chosen(checkpoint, ("wav2lip_gan", "wav2lip"), WAV2LIP_OWN_FILE)
    config = _configured(path, generator_config, WAV2LIP_PUBLISHED)
    model: MouthNetwork
    model = Speech2Vid(config) if isinstance(config, Speech2VidConfig) else Wav2Lip(config)
    fill(model, path)
    return _ready(model, device), _weights_file(path)


def load_expert(
    expert: str | Path = "auto", *, device: torch.device
) -> tuple[SyncNetColor, WeightsFile]:
    """Loads Wav2Lip's lip-sync expert, ready to judge.

    Args:
        expert: a weights file, or "auto".
        device: where it will run.

    Raises:
        WeightsError: the file is absent or does not fit.
    """
    path = _chosen(expert, ("lipsync_expert",), EXPERT_OWN_FILE)
    model = SyncNetColor(_configured(path, Wav2LipConfig.from_json, WAV2LIP_PUBLISHED))
    fill(model, path)
    return _ready(model, device), _weights_file(path)


def _chosen(requested: str | Path, published_names: tuple[str, ...], own_file: str) -> Path:
    """The file that is asked for; for "auto" the first published one there is, else the own."""
    if str(requested) == "auto":
        downloaded = [PUBLISHED_DIR / published.table()[name].file for name in published_names]
        path = next((p for p in downloaded if p.exists()), OWN_DIR / own_file)
    else:
        path = Path(requested)
    if not path.is_file():
        raise WeightsError(f"{path} is not a file; give a checkpoint of this network or 'auto'.")
    return path


def _configured(path: Path, from_json: Callable[[str], Config], otherwise: Config) -> Config:
    """The configuration a file of ours carries; files of others are of the published shape."""
    described = config_text(path)
    try:
        return from_json(described) if described else otherwise
    except (ValueError, TypeError) as error:
        raise WeightsError(
            f"{path} was made for another network or version of this program; train it again."
        ) from error


def _weights_file(path: Path) -> WeightsFile:
    """Names weights that fit; another file under a published name may be the user's fine-tune."""
    state = path.stat()
    return _named(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=16)
def _named(path: Path, changed_ns: int, size_bytes: int) -> WeightsFile:
    """`_weights_file` of an unchanged file, so that it is hashed, and warned of, once."""
    weights_file = WeightsFile(path.name, sha256(path))
    published.warn_if_changed(path, weights_file.sha256)
    return weights_file


def _ready(model: Network, device: torch.device) -> Network:
    model.eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model.to(device)


def fill(model: nn.Module, path: Path) -> None:
    """Loads a file's tensors into a network; every name and shape must fit.

    Raises:
        WeightsError: names the file and the first keys that do not fit.
    """
    state = read_state(path)
    expected = model.state_dict()
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    misshapen = [
        key for key in expected if key in state and state[key].shape != expected[key].shape
    ]
    for problem, keys in (
        ("lacks", missing),
        ("has unexpected", unexpected),
        ("has other shapes for", misshapen),
    ):
        if keys:
            names = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
            raise WeightsError(
                f"{path} does not fit {type(model).__name__}: it {problem} {names}; "
                "give a file of this network."
            )
    model.load_state_dict(state)


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a weights file by name, on the CPU; nothing in the file is executed.

    Reads safetensors, a bare PyTorch state dict, {"state_dict": ...}, or the checkpoint of a
    training run, of which it takes the network that --export would; a `module.` prefix left by
    data-parallel training is removed.

    Raises:
        WeightsError: the file is absent, or no weights file.
    """
    if not path.is_file():
        raise WeightsError(f"{path} is not there; run ./download_model.sh or restore the file.")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        with warnings.catch_warnings():  # torch remarks on pickles it then refuses
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises five types here, all of them the file's fault
        raise WeightsError(f"{path} is not a weights file: {published.fault(path)}") from error
    state = _network_of(loaded) if isinstance(loaded, dict) else {}
    if not _is_state_dict(state):
        raise WeightsError(f"{path} holds no state dict; give a checkpoint of this network.")
    return {key.removeprefix("module."): value for key, value in state.items()}


def _network_of(content: dict[str, object]) -> object:
    """The network in a file of torch.save: of a run's checkpoint the best or last average."""
    best, average = content.get("best"), content.get("average")
    if isinstance(best, dict) and isinstance(best.get("average"), dict):
        return best["average"]
    if isinstance(average, dict):
        return average
    return content.get("state_dict", content)


def _is_state_dict(state: object) -> TypeGuard[dict[str, torch.Tensor]]:
    return (
        isinstance(state, dict)
        and bool(state)
        and all(isinstance(key, str) for key in state)
        and all(isinstance(value, torch.Tensor) for value in state.values())
    )


def metadata(path: Path) -> dict[str, str]:
    """The text fields of a safetensors file; empty for other files."""
    if path.suffix != ".safetensors":
        return {}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except Exception as error:  # the library's own error type is private
        raise WeightsError(f"{path} is not a weights file: {published.fault(path)}") from error


def config_text(path: Path) -> str | None:
    """The configuration that weights or a run's checkpoint hold, as JSON; None without one.

    Raises:
        WeightsError: a safetensors file that is none.
    """
    if path.suffix == ".safetensors":
        return metadata(path).get("config")
    if not _may_be_of_a_run(path):
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # who reads its tensors says what is wrong with it
        return None
    described = content.get("config") if isinstance(content, dict) else None
    return described if isinstance(described, str) else None


def _may_be_of_a_run(path: Path) -> bool:
    """Whether the names of a run's checkpoint are in a file: large published ones are read once."""
    try:
        with zipfile.ZipFile(path) as file:
            member = next(one for one in file.infolist() if one.filename.endswith("/data.pkl"))
            names = file.read(member) if member.file_size < LARGEST_NAMES_BYTES else b""
    except Exception:  # no such file, or none of torch's: who reads its tensors says so
        return False
    return b"average" in names and b"config" in names


def write_own(
    model: nn.Module,
    path: Path,
    *,
    config: SyncNetConfig | Wav2LipConfig | None = None,
    half: bool = False,
) -> None:
    """Writes a network's tensors as safetensors, with its configuration inside.

    Args:
        model: the network.
        path: `.safetensors` file to write.
        config: kept inside as JSON; None for networks known by their file name.
        half: store float16, half the size; `fill` brings it back to the network's own type.
    """
    text = {} if config is None else {"config": config.to_json()}
    state = {
        key: (value.half() if half and value.is_floating_point() else value).contiguous()
        for key, value in model.state_dict().items()
    }
    partial = partial_path(path)
    safetensors.torch.save_file(state, partial, metadata={"format": "pt", **text})
    partial.chmod(0o644)  # the library makes files that only their owner may read
    partial.replace(path)
