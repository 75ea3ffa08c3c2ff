"""Stage 3: finetune all networks end to end, so that the renderer adapts to the VQGAN's artefacts (§3.3).

    dinar train finetune --data PEOPLE --init runs/compression/weights --run runs/finetune

Both branches are rendered: the texture itself, and the texture restored by the VQGAN.
"""

from __future__ import annotations

from .avatar import AvatarStage


class FinetuneStage(AvatarStage):
    uses = ("encoder", "generator", "renderer", "vqgan")
    learns = uses
    needs = uses
    direct = restored = True
