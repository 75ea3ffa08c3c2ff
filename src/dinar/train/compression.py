"""Stage 2: the VQGAN that makes textures small enough to diffuse (§3.3 "Reducing texture space").

    dinar train compression --data PEOPLE --init runs/avatar/weights --run runs/compression

Everything else is fixed: eq. 4 on renders with the restored texture T_res, and ‖T − T_res‖².
"""

from __future__ import annotations

from .avatar import AvatarStage


class CompressionStage(AvatarStage):
    uses = ("encoder", "generator", "renderer", "vqgan")
    learns = ("vqgan",)
    needs = ("encoder", "generator", "renderer")
    direct, restored = False, True
