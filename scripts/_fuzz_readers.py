"""The readers that scripts/fuzz.py tries: for each a valid input, and how dinar reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import _fuzz_inputs as inputs
import _fuzz_sets as sets
from _fuzz_inputs import Values, picture
from dinar.data.ccp import read_ccp_labels
from dinar.photo.keypoint_files import load_keypoints
from dinar.photo.mask import load_mask
from dinar.photo.parsing import read_label_map


@dataclass(frozen=True)
class Reader:
    """``make`` writes a valid input into a folder and returns it; ``read`` reads it and yields what it got."""

    make: Callable[[Path], Path]
    read: Callable[[Path], Values]
    writes: bool = False  # into its own folder: it goes on with an earlier run


def keypoints(path: Path) -> Values:
    for k in load_keypoints(path, shape=(192, 144)):
        yield k.keypoints


READERS: dict[str, Reader] = {
    "photo jpg": Reader(picture(".jpg", quality=90), inputs.photo),
    "photo jpg with data": Reader(inputs.telling_picture, inputs.photo),
    "photo png": Reader(picture(".png"), inputs.photo),
    "photo webp": Reader(picture(".webp"), inputs.photo),
    "photo tiff": Reader(picture(".tiff", compression="tiff_lzw"), inputs.photo),
    "photo gif": Reader(picture(".gif"), inputs.photo),
    "photo avif": Reader(picture(".avif"), inputs.photo),
    "photo bmp": Reader(picture(".bmp"), inputs.photo),
    "photo ppm": Reader(picture(".ppm"), inputs.photo),
    "list of photos": Reader(sets.photo_list, sets.listed),
    "mask": Reader(inputs.grey, lambda p: iter([load_mask(p, (192, 144, 3))])),
    "label map": Reader(inputs.label_map, lambda p: iter([read_label_map(p, (192, 144, 3), "dinar")])),
    "Clothing Co-Parsing": Reader(inputs.ccp, lambda p: iter([read_ccp_labels(p / "labels" / "0001.png")])),
    "keypoints OpenPose": Reader(inputs.keypoints_json, keypoints),
    "keypoints mmpose": Reader(inputs.keypoints_mmpose, keypoints),
    "keypoints MediaPipe": Reader(inputs.keypoints_mediapipe, keypoints),
    "keypoints npz": Reader(inputs.keypoints_npz, keypoints),
    "motion npz": Reader(inputs.amass, inputs.motion),
    "motion npy": Reader(inputs.motion_npy, inputs.motion),
    "motion pkl": Reader(inputs.motion_pickle, inputs.motion),
    "motion of tracks": Reader(inputs.tracks, inputs.motion),
    "motion of ROMP": Reader(inputs.romp, inputs.motion),
    "motion bvh": Reader(inputs.bvh, inputs.motion),
    "motion txt": Reader(inputs.deepmimic, inputs.motion),
    "face csv": Reader(inputs.face_csv, inputs.motion),
    "face json": Reader(inputs.face_json, inputs.motion),
    "sound wav": Reader(sets.sound(".wav"), sets.heard),
    "sound mp3": Reader(sets.sound(".mp3"), sets.heard),
    "sound ogg": Reader(sets.sound(".ogg"), sets.heard),
    "SMPL-X": Reader(inputs.smplx, inputs.smplx_body),
    "SMPL-X and its atlas": Reader(inputs.smplx_atlas, inputs.smplx_uv),
    "fit": Reader(inputs.fit, inputs.one_fit),
    "photo set": Reader(inputs.photo_set, inputs.many_fits),
    "avatar": Reader(inputs.avatar, inputs.any_avatar),
    "neural avatar": Reader(inputs.neural_avatar, inputs.any_avatar),
    "avatar with a skirt": Reader(inputs.dressed_avatar, inputs.any_avatar),
    "export of an avatar": Reader(inputs.dressed_avatar, inputs.exported),
    "page of an avatar": Reader(inputs.avatar, inputs.page),
    "page of a neural avatar": Reader(inputs.neural_avatar, inputs.page),
    "regressor": Reader(inputs.regressor, inputs.one_regressor),
    "weights": Reader(inputs.weights, inputs.networks),
    "other networks": Reader(sets.other_networks, sets.loaded),
    "multi-view folder": Reader(sets.folder_set, sets.people),
    "shards": Reader(sets.shards, sets.people),
    "the authors' layout": Reader(sets.authors_set, sets.released),
    "parsing set": Reader(sets.parsing_set, sets.parsed),
    "video mp4": Reader(sets.video(".mp4"), sets.frames),
    "video webm": Reader(sets.video(".webm"), sets.frames),
    "set of frames": Reader(sets.clips, sets.imported, True),
    "MakeHuman asset": Reader(sets.asset, sets.one_asset),
    "evaluation": Reader(sets.evaluation, sets.evaluated, True),
    "film of serve": Reader(sets.film, sets.shown),
    "manifest of batch": Reader(sets.manifest, sets.batched, True),
    "jobs of serve": Reader(sets.jobs, sets.served),
    "checkpoint": Reader(sets.checkpoint, sets.restored),
    "spoken sentences": Reader(sets.spoken, sets.sentences, True),
    "sampled textures": Reader(sets.textures, sets.texels, True),
    "sampled textures alone": Reader(sets.textures_alone, sets.texels_alone),
    "readings of pictures": Reader(sets.readings, sets.read_again),
}
