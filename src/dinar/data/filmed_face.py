"""A video of a face as a motion: weights of the body's facial actions and turns of the head, frame by frame.

What the 468 landmarks say of mouth and lids in every frame is compared with the frames in which the eyes are most open
and the mouth is most closed. The mouth's actions are those that explain the difference best on the body's face.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import nnls

from ..body import Body, load_body
from ..body.face_motion import HEAD, face_motion
from ..body.motion import Motion
from ..body.rotation import matrix_to_axis_angle
from ..errors import DinarError
from ..fit.face import ACTIONS, EYES, measure, responses, upright
from ..photo.blazepose import detect_people, landmarks
from ..photo.landmarks import Landmarks, face_landmarks, face_near
from .filmed import smoothed
from .video import frame_rate, video_frames

LARGE = 0.2  # least share of the picture's height that a face has in a video of a face
LOOKED_AT = 8  # frames that are looked at for one
SETTLED = 4  # times that landmarks say where the same frame is looked at again
FASTEST = 30.0  # frames a second that are read
MOST = 1800  # of them: a minute; of longer videos fewer a second
FEWEST = 0.5  # of the frames: with fewer that show the face there is no motion
NEUTRAL = 0.15  # share of the frames that is taken to be neutral
MOUTH = (*ACTIONS, ("mouthPucker",))
# Standard deviations: of the mouth's measures, in distances of the eyes, and of the actions.
NOISE, USUAL = np.array([0.02, 0.01, 0.01]), np.array([0.5, 0.5, 0.3, 0.3, 0.5, 0.5])
# Openness of eyes, as a share of the neutral one: from which they close, above its noise (.025); least and most of shut
# ones: of faces that avatars show it is .84.
OPEN, SHUT = 0.94, (0.35, 0.82)
SMOOTH = 0.03  # seconds: standard deviation of the Gaussian over time
LIDS = ((159, 145), (386, 374))  # of EYES, upper and lower


def filmed_face(source: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> Motion | None:
    """The motion of the face in a video; None: its first frames show no face of LARGE of the picture's height.

    Raises:
        DinarError: no video, or the face is lost in most of its frames.
    """
    count, rate = frame_rate(source)
    wanted = np.unique(np.linspace(0, count - 1, min(count, MOST, max(2, round(count / rate * FASTEST)))).astype(int))
    face: Landmarks | None = None
    seen: dict[int, np.ndarray] = {}
    for k, (_, rgb) in enumerate(video_frames(source, wanted.tolist())):
        face = face_near(rgb, face) if face is not None else None
        if face is None and (k < LOOKED_AT or seen):
            face = _find(rgb)
        if face is None and not seen and k >= LOOKED_AT:
            return None
        if face is not None:
            seen[k] = face.points * np.array([1, -1, -1], np.float32)  # x right, y up, z to the camera
        progress(k + 1, len(wanted))
    if not seen:
        return None
    if len(seen) < max(2, FEWEST * len(wanted)):
        raise DinarError(f"{source}: expected a face in most frames, got it in {len(seen)} of {len(wanted)}")
    fps = rate * len(wanted) / count
    weights, turns = read_actions(load_body(), np.stack(list(seen.values())))
    rows = np.c_[weights, turns]
    known = np.fromiter(seen, float)
    rows = np.stack([np.interp(np.arange(len(wanted)), known, x) for x in rows.T], 1)
    names = [*load_body().expression_names, *HEAD]
    return face_motion(source, names, smoothed(rows, SMOOTH * fps), fps)


def _find(rgb: np.ndarray) -> Landmarks | None:
    for person in detect_people(rgb)[:1]:
        face = face_landmarks(rgb, landmarks(rgb, person))
        if face is not None and np.ptp(face.points[:, 1]) > LARGE * rgb.shape[0]:
            for _ in range(SETTLED):  # a region around the landmarks themselves, as in the frames that follow
                face = face_near(rgb, face) or face
            return face
    return None


def read_actions(body: Body, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights [T, num_expression] in [0, 1] and turns of the head [T, 3] axis-angle, from landmarks [T, 468, 3], x
    right, y up, z to the camera, of any unit."""
    R = np.stack([upright(p) for p in points])  # [T, 3, 3] columns: across, up, to the front
    apart = lambda a, b: np.linalg.norm(points[:, a] - points[:, b], axis=1)  # noqa: E731
    # of both eyes, as one by one they are noisy
    lids = np.mean(
        [apart(up, low) / apart(outer, inner) for (up, low), (outer, inner) in zip(LIDS, EYES, strict=True)], 0
    )
    mouth = np.stack([m for p in points if (m := measure(p, np.inf)) is not None])  # of all
    rest = np.argsort(mouth[:, 2] - lids)[: max(1, round(NEUTRAL * len(points)))]
    mouth, lids = mouth - mouth[rest].mean(0), lids / lids[rest].mean()

    A = np.vstack([responses(body, MOUTH) / NOISE[:, None], np.diag(1 / USUAL)])
    found = np.stack([nnls(A, np.append(b / NOISE, np.zeros(len(MOUTH))))[0] for b in mouth], 1)
    out = np.zeros((len(points), body.num_expression))
    pairs = dict(zip(MOUTH, found, strict=True))
    pairs["eyeBlinkLeft", "eyeBlinkRight"] = (OPEN - lids) / (OPEN - lids.min().clip(*SHUT))
    for names, weights in pairs.items():
        out[:, [body.expression_names.index(n) for n in names]] = weights.clip(0, 1)[:, None]
    u, _, vt = np.linalg.svd(R[rest].mean(0))
    return out, matrix_to_axis_angle(torch.from_numpy(R @ (u @ vt).T).float()).numpy()
