"""One second of audio for speech models: small, generated, and in the simplest format."""

from __future__ import annotations

import io
import math
import struct
import wave

RATE = 16_000
"""Samples a second: the rate that speech models resample to."""
PITCH, LOUDNESS = 440, 0.2


def one_second() -> bytes:
    """A WAV file: a tone of 440 Hz, one channel, 16 bits a sample. It is not silence, which some servers cut off."""
    samples = (round(32767 * LOUDNESS * math.sin(2 * math.pi * PITCH * n / RATE)) for n in range(RATE))
    written = io.BytesIO()
    with wave.open(written, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(b"".join(struct.pack("<h", s) for s in samples))
    return written.getvalue()
