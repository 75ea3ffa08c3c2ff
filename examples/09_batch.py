"""Make an avatar of each photo in a folder. Run: python examples/09_batch.py [photo.jpg or folder ...]

If it is stopped, the same command continues. manifest.sqlite lists the photos that failed and the reasons.
"""

import sys
from pathlib import Path

from dinar.batch import batch
from dinar.demo import PHOTO

if __name__ == "__main__":  # needed for jobs > 1: every process imports this file
    photos = [Path(p) for p in sys.argv[1:]] or [PHOTO]
    failed = batch(photos, Path("avatars"), jobs=1, say=print)
    print(f"avatars/: {len(failed)} photos failed")
