"""Evaluation (§4.2, §4.3, app. D): metrics of pictures and animations, the protocol, reports."""

from .metrics import iou as iou
from .metrics import ms_ssim as ms_ssim
from .metrics import psnr as psnr
from .tasks import evaluate_ablation as evaluate_ablation
from .tasks import evaluate_renders as evaluate_renders
from .tasks import evaluate_sequence as evaluate_sequence
from .tasks import evaluate_views as evaluate_views
