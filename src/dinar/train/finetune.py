"""Stage 3: the whole pipeline once more, so that the renderer gets used to the VQGAN's artefacts (§3.3).

    dinar train finetune --data PEOPLE --init runs/compression/weights --run runs/finetune

Both branches are rendered: the texture as it is, which keeps the renderer able to draw it, and the restored one.
"""

from __future__ import annotations

from .avatar import AvatarStage


class FinetuneStage(AvatarStage):
    uses = ("encoder", "generator", "renderer", "vqgan")
    learns = uses
    needs = uses
    direct = restored = True
