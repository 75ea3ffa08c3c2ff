"""What ffmpeg may open: files of sounds and videos on this machine, and not what a playlist names."""

from __future__ import annotations

from pathlib import Path

# Its names of file formats. Not those that open other files or addresses: hls, concat, dash, image2 and the like.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,mpeg,mpegts,ogg,wav,w64,mp3,flac,aac,aiff,caf,au,amr,gif"
RESTRICTED = ("-protocol_whitelist", "file,pipe", "-format_whitelist", FORMATS)  # options before -i


def address(path: str | Path) -> str:
    """A path as ffmpeg takes it: names with a colon are no protocols, and those that begin with a dash no options."""
    return f"file:{Path(path).absolute()}"
