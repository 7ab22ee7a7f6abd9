"""Measures the Python package `pocket-tts` on the same files: one process, one JSON object.

usage: python reference.py speed CONFIG VOICE TEXT SHORT_TEXT REPEATS
       python reference.py memory CONFIG VOICE TEXT

`speed` times TEXT and the first audio of SHORT_TEXT, REPEATS times after a warm-up. `memory` loads the
model and generates TEXT once, like a program that is started for one text.
"""

import json
import logging
import math
import os
import statistics
import sys
import time
from pathlib import Path

command, config, voice, text, *rest = sys.argv[1:]
config, voice = Path(config).resolve(), Path(voice).resolve()

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


def first_audio(short_text):
    start = time.perf_counter()
    chunks = model.generate_audio_stream(state, short_text)
    next(chunks)
    seconds = time.perf_counter() - start
    # The package keeps generating if the iterator is dropped, so the rest is read too.
    for _ in chunks:
        pass
    return seconds


def peak_rss_bytes():
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:
        return None
    # In bytes on macOS, elsewhere in KiB.
    unit = 1 if sys.platform == "darwin" else 1 << 10
    return getrusage(RUSAGE_SELF).ru_maxrss * unit


def spread(values):
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "samples": len(values),
    }


def speed(short_text, repeats):
    repeats = int(repeats)
    audio_seconds, _ = speak()
    walls = [speak()[1] for _ in range(repeats)]
    first_audio(short_text)
    firsts = [first_audio(short_text) for _ in range(repeats)]
    return {
        "audio_seconds": audio_seconds,
        "times_real_time": spread([audio_seconds / wall for wall in walls]),
        "first_audio_ms": spread([1e3 * seconds for seconds in firsts]),
        "import_ms": 1e3 * (imported - started),
        "load_ms": spread([1e3 * (loaded - imported)]),
        "peak_rss_bytes": peak_rss_bytes(),
    }


def memory():
    audio_seconds, wall = speak()
    return {
        "time_ms": 1e3 * wall,
        "loading_and_speaking_ms": 1e3 * (time.perf_counter() - started),
        "times_real_time": audio_seconds / wall,
        "peak_rss_bytes": peak_rss_bytes(),
    }


print(json.dumps({"speed": speed, "memory": memory}[command](*rest)))
