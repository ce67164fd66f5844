#!/bin/sh
# The embedded tool in ten minutes of a borrowed GPU: what takes 95 minutes of a CPU core is where a GPU saves most.
# What travels: this repository, PACKED (`segagent train-embedded pack`, 40 MB), LITE0.pth (18 MB).
#
#   scripts/train_tool_on_gpu.sh PACKED LITE0.pth OUT [MINUTES] [DEVICE] [WORKERS]
#
# A stopped run goes on. OUT holds encoder.safetensors, tool.safetensors, tool.json and log.jsonl: use them with
# `--tool embedded:OUT`, and judge them with benchmarks/bench_tool.py before they replace the packaged ones.
set -eu
packed=$1 encoder=$2 out=$3 minutes=${4:-8.5} device=${5:-cuda}
workers=${6:-$(($(nproc) - 1))}
set --
for folder in "$packed"/*/; do set -- "$@" --photographs "${folder%/}"; done
exec segagent train-embedded tool --encoder "$encoder" "$@" -o "$out" \
    --minutes "$minutes" --device "$device" --workers "$workers"
