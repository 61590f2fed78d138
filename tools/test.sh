#!/bin/sh
# test.sh BIN: all tests, as three runs side by side. Those on an engine wait most of the time, two files of them at once;
# those on real vLLM take half a minute a start; the others give way to both (nice). Each is shown when it is done.
set -u
bin=$1
# The tests start hundreds of processes: what they import is compiled once, also where Python is told to keep nothing.
unset PYTHONDONTWRITEBYTECODE
"$bin/python" -m compileall -q cortexctl tests tools || exit 1
said=$(mktemp -d)
nice "$bin/pytest" -m "not engine and not vllm" -n 2 --dist loadfile >"$said/others" 2>&1 &
others=$!
"$bin/pytest" -m engine -n 2 --dist loadfile >"$said/engine" 2>&1 &
engine=$!
"$bin/pytest" -m vllm
worst=$?
wait "$engine" || worst=$?
cat "$said/engine"
wait "$others" || worst=$?
cat "$said/others"
rm -rf "$said"
exit "$worst"
