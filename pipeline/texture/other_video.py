"""Own mouths from another video of the same person."""

from pathlib import Path

import torch

from pipeline.dubbing import face_path
from pipeline.dubbing.choose import find_source
from pipeline.dubbing.face_path import FacePath, Pads
from pipeline.errors import InputError
from pipeline.faces import stage
from pipeline.faces.options import FaceOptions
from pipeline.media import decode, yuv
from pipeline.progress import Progress
from pipeline.store.array_file import ArrayFile
from pipeline.store.workspace import Workspace
from pipeline.sync.scorer import SyncModel
from pipeline.texture.library import FacePaths, Gatherer, Library

LEAST_TRACK_FRAMES = 25


def other_library(
    video: Path,
    model: SyncModel,
    *,
    folder: Path,
    pixels: ArrayFile,
    faces: ArrayFile,
    frame_rate: float,
    device: torch.device,
    progress: Progress,
) -> Library:
    """The mouths of the face that is longest on another video.

    Args:
        video: file; the face's sound is in it, too.
        model: the sync network.
        folder: an existing one for passing files.
        pixels, faces: files for the cuttings.
        frame_rate: of the output: at it, frames that follow each other there do so here.
        device: where the face detector runs.
        progress: called after each frame.

    Raises:
        InputError: it is no video, or has no face.
    """
    workspace = Workspace(folder, "texture")
    options = FaceOptions(keep_frames=False, min_track=LEAST_TRACK_FRAMES)
    stage.find_faces(video, workspace, options, device=device, progress=progress)
    tracks = workspace.read_tracks()
    if not tracks:
        raise InputError(f"--texture_video {video} has no face; give one of the same person.")
    track, crop = max(tracks, key=lambda found: len(found[0].frames))
    source, _ = find_source(workspace)
    face = FacePath(
        track,
        frame_rate=workspace.read_frame_rate(),
        pads=Pads(),
        frame_size_px=source.size_px,
    )
    gatherer = Gatherer(
        FacePaths(face, crop, options.crop_scale),
        model,
        pixels=pixels,
        faces=faces,
        frame_rate=frame_rate,
        matrix=source.colour.matrix,
    )
    for index, buffer in enumerate(
        decode.read_planes(source.path, size_px=source.size_px, frame_rate=frame_rate)
    ):
        region = face.at(index / frame_rate)
        if region is not None:
            picture = yuv.picture(buffer, size_px=source.size_px)
            original = face_path.face_at(picture, region, source.colour.matrix)
            gatherer.add(index, picture, region, original)
    samples = None
    if source.audio_stream is not None:
        info = decode.probe(source.path, audio_stream=source.audio_stream)
        samples = decode.read_audio(source.path, info=info)
    return gatherer.finish(samples).elsewhere()
