#!/bin/sh
# test.sh BIN: all tests, as two runs side by side. One waits for engines most of the time; the other has the processor
# meanwhile, and is shown when it is done.
set -u
bin=$1
said=$(mktemp)
"$bin/pytest" -m "not engine and not vllm" >"$said" 2>&1 &
others=$!
"$bin/pytest" -m "engine or vllm"
engine=$?
wait "$others"
rest=$?
cat "$said"
rm -f "$said"
[ "$engine" = 0 ] && [ "$rest" = 0 ]
