"""BlazePose on LiteRT: people and their 33 keypoints, without MediaPipe.

The graph is MediaPipe's (detector on a letterboxed 224 px image, rotated region of interest, landmarks, segmentation
and metric 3D points on 256 px), with three changes for photos instead of video: every person is kept, small ones are
searched in tiles, and the region is refined until it stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from threading import Lock

import cv2
import numpy as np

from ..assets import asset
from ..cores import physical_cores
from ..errors import DinarError
from ..pictures import quiet
from ..scene.crop import warp_affine

KEYPOINTS = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip

DETECTOR_SIZE, LANDMARK_SIZE = 224, 256  # pixels, fixed by the models
MIN_SCORE = 0.5  # of a detection; MediaPipe's default
WEAK_SCORE = 0.3  # tried when there is no better one: the landmark model's own score decides
SMALL = 0.25  # while all people are lower than this share of the image height, tiles are searched too
WIDE = 1.3  # so are squares along a photo wider than this aspect: a row of people is small in the detector's square
WHOLE = 2.5  # sides of a tile: larger people would be outside of it; walls and blurred surroundings look like such
BESIDE = 0.5  # heights from a person to where the next ones are searched
MIN_TILE = 128  # pixels
FAR_TILE = 320  # pixels: people of 96 px are found in it, in one of 512 only those of 150
ROUNDS = 3  # of views about the region that the round before gave: it has settled to .1 % of its size
# Shift across, size and turn (radians) of the views whose mean the final keypoints are, relative to the region.
VIEWS = ((0.02, 0.97, 0.03), (-0.02, 0.97, -0.03), (0.02, 1.03, -0.03), (-0.02, 1.03, 0.03))
# Of the region's size: hips that are nearer are one person's. People in a row stand .1 to .2 apart.
NEAR = 0.08


INSIDE, BETTER = 0.97, 0.02  # share of the keypoints on the person that is good enough; gain that is worth another pose


@dataclass(frozen=True)
class Region:
    """A rotated square in the image: what a landmark model looks at."""

    x: float  # centre, pixels
    y: float
    size: float  # side, pixels
    angle: float  # radians, clockwise in the image; 0 = upright

    def to_crop(self, crop: int, stretch: float = 1.0) -> np.ndarray:
        """[2, 3] affine from image pixels to a ``crop`` px square, widened by ``stretch`` (negative: mirrored)."""
        c, s, k = np.cos(self.angle), np.sin(self.angle), crop / self.size
        R = np.array([[c * stretch, s * stretch], [-s, c]]) * k
        return np.c_[R, crop / 2 - R @ (self.x, self.y)]


@dataclass(frozen=True)
class Detection:
    """A person found by the detector."""

    region: Region
    score: float  # in [0, 1]


@dataclass(frozen=True)
class Pose:
    """Keypoints of one person, in the order of :data:`KEYPOINTS`."""

    keypoints: np.ndarray  # [33, 4] float32: x, y in pixels; z in pixels about the hips, smaller is nearer; visibility
    presence: np.ndarray  # [33] float32 in [0, 1]: the point lies inside the region
    world: np.ndarray | None  # [33, 3] float32 metres about the hips: x right, y down, z away from the camera
    segmentation: np.ndarray | None  # [H, W] float32 in [0, 1]
    score: float  # the landmark model's own confidence that there is a person, in [0, 1]
    region: Region  # around the keypoints: where to look again

    @property
    def visibility(self) -> np.ndarray:
        """[33] float32 in [0, 1]."""
        return self.keypoints[:, 3]

    @property
    def height(self) -> float:
        """Length of the person's extent in the image, pixels: the diagonal of the keypoints' box."""
        return float(np.linalg.norm(np.ptp(self.keypoints[self.visibility > 0, :2], axis=0)))


class Net:
    """A LiteRT model. Outputs are looked up by shape, which identifies them in all the models used here."""

    def __init__(self, model: bytes) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as e:
            raise DinarError("the package ai-edge-litert is needed to find keypoints: pip install ai-edge-litert, or "
                             "give your own with --keypoints FILE --mask FILE") from e  # fmt: skip
        self._lock = Lock()  # interpreters keep their tensors: one call at a time
        with quiet():  # it says that it was made
            self._net = Interpreter(model_content=model, num_threads=min(4, physical_cores()))
            self._net.allocate_tensors()
        self._input = self._net.get_input_details()[0]
        self._outputs = self._net.get_output_details()

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:  # [H, W, 3] float, the model's own range
        """Outputs by name, without the batch axis."""
        with self._lock:
            self._net.set_tensor(self._input["index"], image[None].astype(np.float32))
            self._net.invoke()
            return {o["name"]: self._net.get_tensor(o["index"])[0] for o in self._outputs}


@cache
def load_net(name: str) -> Net:
    """A model from :mod:`dinar.assets`, loaded once per process."""
    return Net(asset(name))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))


@cache
def _anchors() -> np.ndarray:
    """[2254, 2] anchor centres in [0, 1] of the detector's three feature maps."""
    centres = []
    for stride, per_cell in ((8, 2), (16, 2), (32, 6)):
        g = DETECTOR_SIZE // stride
        y, x = np.mgrid[:g, :g]
        centres.append(np.repeat(np.stack([(x + 0.5) / g, (y + 0.5) / g], -1).reshape(-1, 2), per_cell, 0))
    return np.concatenate(centres)


def region_around(keypoints: np.ndarray) -> Region:  # [33, 4]
    """The region for keypoints made elsewhere: the hips' middle, a circle around all points, the torso upright."""
    xy, seen = keypoints[:, :2], keypoints[:, 3] > 0
    hips = [i for i in (23, 24) if seen[i]] or np.flatnonzero(seen)
    shoulders = [i for i in (11, 12) if seen[i]]
    centre = xy[hips].mean(0)
    up = xy[shoulders].mean(0) - centre if shoulders else np.array([0.0, -1.0])
    # 2.53 is the median of the model's own regions on 144 street photos.
    radius = np.linalg.norm(xy[seen] - centre, axis=1).max()
    return Region(float(centre[0]), float(centre[1]), float(2.53 * radius), float(np.arctan2(up[0], -up[1])))


def cut(rgb: np.ndarray, M: np.ndarray, size: int) -> np.ndarray:
    """The ``size`` px square that the affine ``M`` [2, 3] makes of an image; black outside."""
    return warp_affine(rgb, M, (size, size))


def _region(hips: np.ndarray, top: np.ndarray) -> Region:  # [2] pixels each
    """The region MediaPipe derives from the middle of the hips and a point on the circle around the body."""
    d = top - hips
    return Region(float(hips[0]), float(hips[1]), float(2.5 * np.hypot(*d)), float(np.arctan2(d[0], -d[1])))


def _detect(
    rgb: np.ndarray,  # [H, W, 3] uint8
    window: tuple[float, float, float],  # x, y, side of the square that the detector looks at, pixels
    threshold: float,
) -> list[Detection]:
    """One detector pass, with weighted non-maximum suppression of the faces' boxes."""
    x0, y0, side = window
    k = DETECTOR_SIZE / side
    M = np.array([[k, 0, -x0 * k], [0, k, -y0 * k]])
    crop = cut(rgb, M, DETECTOR_SIZE)
    out = load_net("pose_detection.tflite")(crop / 127.5 - 1)
    score = sigmoid(out["Identity_1"][:, 0])
    keep = score > threshold
    score, raw, anchors = score[keep], out["Identity"][keep] / DETECTOR_SIZE, _anchors()[keep]
    centre, half = anchors + raw[:, :2], raw[:, 2:4] / 2
    points = anchors[:, None] + raw[:, 4:8].reshape(-1, 2, 2)  # hips, top
    found, left = [], np.ones(len(score), bool)
    while left.any():
        best = np.flatnonzero(left)[score[left].argmax()]
        lo, hi = centre - half, centre + half
        inter = np.clip(np.minimum(hi, hi[best]) - np.maximum(lo, lo[best]), 0, None).prod(1)
        area = (2 * half).prod(1)
        same = left & (inter > 0.3 * (area + area[best] - inter))
        same[best] = True
        hips, top = np.average(points[same], axis=0, weights=score[same]) * side + (x0, y0)
        found.append(Detection(_region(hips, top), float(score[best])))
        left &= ~same
    return found


def _tiles(width: int, height: int, side: float) -> list[tuple[float, float, float]]:
    """Squares (x, y, side) that cover the image and overlap by 40 % or more."""
    nx, ny = (int(np.ceil((n - side) / (0.6 * side))) + 1 if n > side else 1 for n in (width, height))
    return [(x, y, side) for y in np.linspace(0, height - side, ny) for x in np.linspace(0, width - side, nx)]


def _merge(found: list[Detection]) -> list[Detection]:
    """Drop the weaker of two detections of one person (seen in several tiles)."""
    kept: list[Detection] = []
    for d in sorted(found, key=lambda d: -d.score):
        near = [k for k in kept if np.hypot(d.region.x - k.region.x, d.region.y - k.region.y)
                < NEAR * max(d.region.size, k.region.size)]  # fmt: skip
        if not any(0.5 < d.region.size / k.region.size < 2 for k in near):
            kept.append(d)
    return kept


def detect_people(rgb: np.ndarray) -> list[Detection]:  # [H, W, 3] uint8 sRGB
    """Everyone in the image, best score first; an empty list when there is nobody."""
    height, width = rgb.shape[:2]
    side = float(max(width, height))
    whole = ((width - side) / 2, (height - side) / 2, side)
    found = _detect(rgb, whole, MIN_SCORE)
    for level, tile in enumerate(min(width, height) / np.array([1, 2, 4])):
        # A region is 1.25 circles around the body: a standing person fills about 0.8 of it.
        small = all(0.8 * d.region.size < SMALL * height for d in found)
        if tile < MIN_TILE or not (small or (level == 0 and width > WIDE * height)):
            break
        more = [d for window in _tiles(width, height, tile) for d in _detect(rgb, window, MIN_SCORE)]
        more = [d for d in more if d.region.size < WHOLE * tile]
        # Tiles cut people: a limb of somebody already found can look like a small person.
        found += [d for d in more if not any(_within(d.region, f.region) for f in found)]
    return _merge(found or _detect(rgb, whole, WEAK_SCORE))


def detect_far(rgb: np.ndarray) -> list[Detection]:  # [H, W, 3] uint8 sRGB
    """People far away, who are small in a large image, best score first: some hundred detector passes."""
    height, width = rgb.shape[:2]
    return _merge([d for window in _tiles(width, height, FAR_TILE) for d in _detect(rgb, window, MIN_SCORE)])


def detect_beside(rgb: np.ndarray, pose: Pose) -> list[Detection]:  # [H, W, 3] uint8 sRGB
    """People to the left and right of one, as large: the detector misses them in a picture of a group.

    A square shows it a single person best, a little higher than the person. Nothing is looked at outside the image.
    """
    xy = pose.keypoints[pose.visibility > 0, :2]
    (x, y), h = (xy.min(0) + xy.max(0)) / 2, float(np.ptp(xy[:, 1]))
    found = []
    for centre in (x - BESIDE * h, x + BESIDE * h):
        if 0 <= centre < rgb.shape[1]:
            found += _detect(rgb, (centre - 0.65 * h, y - 0.65 * h, 1.3 * h), MIN_SCORE)
    return found


def _within(part: Region, whole: Region) -> bool:
    return part.size < whole.size and np.hypot(part.x - whole.x, part.y - whole.y) < 0.4 * whole.size


def landmarks(
    rgb: np.ndarray,  # [H, W, 3] uint8 sRGB
    detection: Detection | Region,
    rounds: int = 5,  # at most; it stops once the region hardly moves
) -> Pose:
    """Keypoints of one person, from a region that is refined with the keypoints it yields."""
    start = detection.region if isinstance(detection, Detection) else detection
    for wider in (1.0, 1.4):  # hats and coats can make the detector underrate the circle around the body
        region = replace(start, size=wider * start.size)
        pose = found = _landmarks_once(rgb, region)
        for _ in range(rounds - 1):
            if _close(region, found.region):
                break
            region = found.region
            found = _landmarks_once(rgb, region)
            if found.score > pose.score - 0.05:
                pose = found
        if pose.score >= MIN_SCORE:
            break
    return _upright(rgb, pose)


def _upright(rgb: np.ndarray, pose: Pose) -> Pose:
    """The pose from an upright region around the segmentation, where keypoints are beside it and come inside.

    The detector turns the regions of people who sit, crouch or bend down, and the landmark model may take their arms
    for legs; its segmentation is right even so. Of 237 generated people in varied postures, 17.7 % have keypoints that
    are off by more than a tenth of the person without this, 12.2 % with it.
    """
    if pose.segmentation is None or not (on := pose.segmentation > 0.5).any():
        return pose
    share = _inside(pose.keypoints, on)
    if share >= INSIDE:
        return pose
    xy = np.argwhere(on)[:, ::-1]
    middle = xy.mean(0)
    radius = float(np.linalg.norm(xy - middle, axis=1).max())
    found = _landmarks_once(rgb, Region(float(middle[0]), float(middle[1]), 2.5 * radius, 0.0))
    found = _landmarks_once(rgb, found.region)
    return found if found.score * _inside(found.keypoints, on) > pose.score * share + BETTER else pose


def _inside(keypoints: np.ndarray, on: np.ndarray) -> float:  # [33, 4], [H, W] bool
    """Share of the keypoints on the mask."""
    x, y = np.rint(keypoints[:, :2]).astype(int).T
    h, w = on.shape
    return float(((x >= 0) & (x < w) & (y >= 0) & (y < h) & on[y.clip(0, h - 1), x.clip(0, w - 1)]).mean())


def _close(a: Region, b: Region) -> bool:
    """Within 5 % of the size, and .1 radians."""
    moved = max(np.hypot(a.x - b.x, a.y - b.y), abs(a.size - b.size))
    return bool(moved < 0.05 * a.size and abs(_turned(b.angle - a.angle)) < 0.1)


def settled(
    rgb: np.ndarray,  # [H, W, 3] uint8 sRGB
    pose: Pose,
) -> Pose:
    """The pose with keypoints that hardly depend on the first region, and so on what surrounds the person: points and
    region are means of views about the region."""
    views, region = [pose], pose.region
    for _ in range(ROUNDS):
        views = [_landmarks_once(rgb, _near(region, *view)) for view in VIEWS]
        if min(v.score for v in views) < pose.score - 0.05:
            return pose
        region = _mean([v.region for v in views])
    mean = lambda name: np.mean([getattr(v, name) for v in views], 0)  # noqa: E731
    return replace(pose, keypoints=mean("keypoints"), presence=mean("presence"), world=mean("world"), region=region)


def _near(r: Region, across: float, size: float, turn: float) -> Region:
    return Region(r.x + across * r.size, r.y, size * r.size, r.angle + turn)


def _mean(regions: list[Region]) -> Region:
    first = regions[0].angle
    x, y, size, turn = np.mean([(r.x, r.y, r.size, _turned(r.angle - first)) for r in regions], 0)
    return Region(float(x), float(y), float(size), float(first + turn))


def _turned(angle: float) -> float:
    """The same angle in [-π, π)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def segment(
    rgb: np.ndarray,  # [H, W, 3] uint8 sRGB
    region: Region,
) -> np.ndarray:
    """The landmark model's segmentation [H, W] float32 in [0, 1], the mean of three views of the region.

    Mirrored and widened views (people fill a third of a square's width) raise the IoU with hand labels by .006 over
    a single one, for 10 ms each.
    """
    closer = replace(region, size=0.94 * region.size)
    views = [region.to_crop(LANDMARK_SIZE)]
    views += [closer.to_crop(LANDMARK_SIZE, stretch) for stretch in (1.2, -1.2)]
    net = load_net("pose_landmark_full.tflite")
    masks = [_paste(sigmoid(net(cut(rgb, M, LANDMARK_SIZE) / 255.0)["Identity_2"][..., 0]), M, rgb) for M in views]
    return sum(masks[1:], masks[0]) / len(masks)


def _paste(crop: np.ndarray, M: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """A crop put back where ``M`` took it from, zeros around it."""
    size = rgb.shape[1], rgb.shape[0]
    return cv2.warpAffine(crop.astype(np.float32), M, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def _landmarks_once(rgb: np.ndarray, region: Region) -> Pose:
    """One pass of the landmark model."""
    M = region.to_crop(LANDMARK_SIZE)
    crop = cut(rgb, M, LANDMARK_SIZE)
    out = load_net("pose_landmark_full.tflite")(crop / 255.0)
    points = _refine(out["Identity"].reshape(39, 5).copy(), sigmoid(out["Identity_3"]))
    inverse = cv2.invertAffineTransform(M)
    xy = points[:, :2] @ inverse[:, :2].T + inverse[:, 2]
    score = sigmoid(points[:33, 3:5])
    z = points[:33, 2:3] * (region.size / LANDMARK_SIZE)
    world = out["Identity_4"].reshape(39, 3)[:33].copy()
    c, s = np.cos(region.angle), np.sin(region.angle)
    world[:, :2] = world[:, :2] @ np.array([[c, s], [-s, c]])
    return Pose(
        keypoints=np.hstack([xy[:33], z, score[:, :1]]).astype(np.float32),
        presence=score[:, 1].astype(np.float32),
        world=world.astype(np.float32),
        segmentation=_paste(sigmoid(out["Identity_2"][..., 0]), M, rgb),
        score=float(out["Identity_1"][0]),
        region=_region(xy[33], xy[34]),
    )


def _refine(
    points: np.ndarray,  # [39, 5] crop pixels in the first two columns
    heat: np.ndarray,  # [64, 64, 39] in [0, 1]
) -> np.ndarray:
    """Move each point to the centroid of its heat map in a 7 x 7 window, where that map is confident."""
    size, k = len(heat), LANDMARK_SIZE / len(heat)
    for i, (x, y) in enumerate((points[:, :2] / k).astype(int)):
        if 0 <= x < size and 0 <= y < size:
            x0, y0 = max(0, x - 3), max(0, y - 3)
            H = heat[y0 : y + 4, x0 : x + 4, i]
            if H.max() >= 0.5:
                yy, xx = np.mgrid[y0 : y0 + H.shape[0], x0 : x0 + H.shape[1]]
                points[i, :2] = (H * xx).sum() / H.sum() * k, (H * yy).sum() / H.sum() * k
    return points
