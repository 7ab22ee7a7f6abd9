"""Checks that mprof reads recordings, including those of a process killed by SIGKILL.

Requires the Python packages of requirements.txt in this folder, and cargo:

    python crates/mem-monitor/tests/mprof/check.py
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PNG = b"\x89PNG\r\n\x1a\n"


def example():
    """Builds the example and returns its path."""
    # Building the whole workspace reuses dependencies built with the same features.
    command = ["cargo", "build", "--quiet", "--workspace", "--example", "timeline"]
    built = subprocess.run(
        [*command, "--message-format", "json"], check=True, stdout=subprocess.PIPE, text=True
    )
    messages = map(json.loads, built.stdout.splitlines())
    return [m["executable"] for m in messages if m.get("executable")][-1]


def mprof(folder, *arguments):
    """Runs an mprof command in a folder, checks that it succeeds and returns its output."""
    ran = subprocess.run(
        [sys.executable, "-m", "mprof", *arguments],
        cwd=folder,
        env=os.environ | {"MPLCONFIGDIR": str(folder)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, f"mprof {arguments}: {ran.stdout}{ran.stderr}"
    assert "Traceback" not in ran.stderr, ran.stderr
    return ran.stdout


def recording(folder):
    (path,) = Path(folder).glob("mprofile_*.dat")
    return path


def maximum(path):
    """Returns the maximum MEM value of a recording, in MiB."""
    lines = (line.split(" ") for line in path.read_text().splitlines())
    return max(float(fields[1]) for fields in lines if fields[0] == "MEM")


def check(folder, spans):
    path = recording(folder)
    listed = mprof(folder, "list")
    assert path.name in listed, listed
    peak = float(mprof(folder, "peak", path.name).split()[-2])
    assert abs(peak - maximum(path)) < 0.001, f"{peak} is not the maximum of {path}"
    for options in [[], ["-s"], ["--flame"]] if spans else [[]]:
        picture = Path(folder, "plot.png")
        mprof(folder, "plot", "-o", picture.name, "--backend", "Agg", *options, path.name)
        assert picture.read_bytes().startswith(PNG), options
        picture.unlink()
    functions = [line for line in path.read_text().splitlines() if line.startswith("FUNC ")]
    if spans:
        names = {line.split(" ")[1] for line in functions}
        assert names == {f"timeline.{n}" for n in ("load", "request", "parse", "process", "item")}
        # The program uses 310 MiB for 150 ms.
        assert peak > 310, peak
    return peak


def main():
    program = example()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, folder], check=True, stdout=subprocess.DEVNULL)
        print(f"complete recording: peak {check(folder, spans=True)} MiB")
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen([program, folder], stdout=subprocess.DEVNULL)
        time.sleep(1.2)
        child.kill()
        child.wait()
        print(f"recording of a killed process: peak {check(folder, spans=False)} MiB")


if __name__ == "__main__":
    main()
