"""Views with class maps and keypoints as training samples of the human parser."""

from __future__ import annotations

import numpy as np

from ..body import load_body
from ..errors import DinarError
from ..fit.view import LANDMARKS
from ..photo.blazepose import KEYPOINTS
from ..views import Source
from .parsing import Sample


class ViewSamples:
    """Samples of a source: sample i is view i % views of person i // views. All people have equally many views."""

    def __init__(self, source: Source, people: int | None = None) -> None:
        n = source.num_people if source.num_people is not None else people
        if not n:
            raise DinarError("expected a source with at least one person, or the number of people of an endless one")
        self.source, self.views = source, source.num_views(0)
        self.length = (n if people is None else min(n, people)) * self.views
        body = load_body()
        rows = {i: body.keypoint_index(name) for i, (name, _) in LANDMARKS.items()}
        self.ours, self.theirs = list(rows), list(rows.values())

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> Sample:
        v = self.source.views(i // self.views, [i % self.views])
        if v.labels is None or v.keypoints2d is None:
            raise DinarError(f"{v.name}: expected views with class maps and keypoints, as dinar synthesize "
                             "makes them")  # fmt: skip
        found = v.keypoints2d[0, self.theirs].cpu().numpy()
        points = np.zeros((len(KEYPOINTS), 4), np.float32)
        points[self.ours, :2] = found[:, :2]
        points[self.ours, 3] = 0.5 + 0.5 * found[:, 2]  # BlazePose also predicts occluded points
        return Sample(v.rgb[0].cpu().numpy(), v.labels[0].cpu().numpy(), points)
