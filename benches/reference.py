"""Times the Python package `pocket-tts` on the same files: one case in one process, one JSON object.

usage: python reference.py CONFIG VOICE TEXT SHORT_TEXT REPEATS
"""

import json
import logging
import math
import os
import statistics
import sys
import time
from pathlib import Path

config, voice = (Path(argument).resolve() for argument in sys.argv[1:3])
text, short_text, repeats = sys.argv[3:]

# The package takes relative paths in a config from the working folder.
os.chdir(config.parent)

started = time.perf_counter()
from pocket_tts import TTSModel  # noqa: E402

imported = time.perf_counter()
logging.disable(logging.CRITICAL)

model = TTSModel.load_model(config=config, eos_threshold=math.inf)
state = model.get_state_for_audio_prompt(voice)
loaded = time.perf_counter()


def speak():
    start = time.perf_counter()
    samples = sum(chunk.shape[-1] for chunk in model.generate_audio_stream(state, text))
    return samples / model.sample_rate, time.perf_counter() - start


def first_audio():
    start = time.perf_counter()
    chunks = model.generate_audio_stream(state, short_text)
    next(chunks)
    seconds = time.perf_counter() - start
    # The rest is taken too: the package goes on working when nobody listens.
    for _ in chunks:
        pass
    return seconds


def peak_rss_bytes():
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def spread(values):
    return {
        "median": statistics.median(values),
        "least": min(values),
        "most": max(values),
        "samples": len(values),
    }


repeats = int(repeats)
audio_seconds, _ = speak()
walls = [speak()[1] for _ in range(repeats)]
first_audio()
firsts = [first_audio() for _ in range(repeats)]
print(
    json.dumps(
        {
            "audio_seconds": audio_seconds,
            "times_real_time": spread([audio_seconds / wall for wall in walls]),
            "first_audio_ms": spread([1e3 * seconds for seconds in firsts]),
            "import_ms": 1e3 * (imported - started),
            "load_ms": spread([1e3 * (loaded - imported)]),
            "peak_rss_bytes": peak_rss_bytes(),
        }
    )
)
