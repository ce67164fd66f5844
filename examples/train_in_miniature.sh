#!/bin/sh
# Training in miniature, a minute or two on one core: far too little to be good, and every step of the real thing.
# docs/train.md tells what the commands do; OUT is a new folder.
set -eu
out=${1:?usage: train_in_miniature.sh OUT}
mkdir -p "$out"
scenes=size=96,complexity=simple,sentences=1
one="--workers 1"  # as many processes as cores otherwise, which take longer to start than this takes

# What the simulated annotator does; a model that imitates it; one that learns from its own episodes (StaR+).
segagent trajectories "scenes:8:split=train,$scenes" $one -o "$out/traj.jsonl"
segagent train sft "$out/traj.jsonl" --policy embedded --fresh-bare --steps 10 -o "$out/s0"
segagent train star "$out/s0" "scenes:4:split=train,seed=1,$scenes" $one --max-steps 3 --steps 5 -o "$out/s1"
segagent evaluate "scenes:4:split=val,$scenes" $one --policy "embedded:$out/s1" --steps 3 -o "$out/measured"
segagent report "$out/measured" --gallery 0 -o "$out/report"
