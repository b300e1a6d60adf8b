#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tools/quickstart.sh PROGRAM [--set section.key=value ...]: trains configs/quickstart.toml on two ranks on the text of a Debian package,
# shows what the model writes and names the report.
set -eu
cd "$(dirname "$0")/.."
program=$1
shift
text=runs/data/bible.txt
if [ ! -s "$text" ]; then
  mkdir -p runs/data
  # one verse a line; the references ("Ge1:1 ") are left out
  bible -f gen1:1-rev22:21 </dev/null 2>/dev/null | sed -E 's/^[^ ]+ //' > "$text.part"
  mv "$text.part" "$text"
  echo "quickstart: wrote $text ($(wc -c < "$text") bytes, the King James Bible of Debian's package bible-kjv)"
fi
output=$("$program" config configs/quickstart.toml -n 2 "$@" --short | sed -n 's/^output = "\(.*\)"$/\1/p')
"$program" train configs/quickstart.toml -n 2 "$@" --overwrite   # says what it takes the place of
page=$("$program" report "$output")
loss=$(grep -o '"validation_loss":[0-9.]*' "$output/metrics.jsonl" | tail -1 | cut -d: -f2)
echo "quickstart: final validation loss $(LC_ALL=C printf %.4f "$loss") (nats per byte)"
echo "quickstart: a sample of the trained model"
"$program" generate "$output" --prompt "And God said" --tokens 200
echo "quickstart: report in $page"
