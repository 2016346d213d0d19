#!/bin/sh
# Train tinysam-nano on an accelerator that is at hand for ten minutes, from two files of `distill pack`.
#   sh examples/train_on_a_gpu.sh photos.zip things.zip OUT [MINUTES]
# leaves OUT/nano.safetensors, the log and the curves.  Run it from the root of a checkout.
set -eu
photos=$1 things=$2 out=$3 minutes=${4:-9}
workers=$(nproc)
tsm="python3 -W ignore -m tinysam_mobile distill"
mkdir -p "$out" runs/store
$tsm unpack "$photos" --out runs/store/photos --workers "$workers"
$tsm unpack "$things" --out runs/store/things --workers "$workers"
$tsm train tinysam_mobile/distill/recipes/nano_16_minutes.toml --out runs/nano_16 \
    --device cuda --workers "$workers" --minutes "$minutes" 2>"$out/train.log"
$tsm export runs/nano_16 --out "$out/nano.safetensors"
cp runs/nano_16/losses.csv runs/nano_16/curves.png "$out"
