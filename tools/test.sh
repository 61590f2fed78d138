#!/bin/sh
# test.sh BIN: all tests, as three parallel runs. Tests on a Docker daemon mostly wait, so two files run at once; tests on
# the real vLLM take half a minute per start; the others run with low priority (nice). Each output is shown at the end.
set -u
bin=$1
# A run collects only the folders that have its tests: `test_architecture.py` holds that no other folder has one.
# The tests start hundreds of processes, so modules are compiled once, even if Python is set to write no bytecode.
unset PYTHONDONTWRITEBYTECODE
"$bin/python" -m compileall -q cortexctl tests tools || exit 1
output=$(mktemp -d)
nice "$bin/pytest" -m "not engine and not vllm" -n 2 --dist loadfile >"$output/others" 2>&1 &
others=$!
"$bin/pytest" -m engine -n 2 --dist loadfile tests/engine tests/attack tests/contract >"$output/engine" 2>&1 &
engine=$!
"$bin/pytest" -m vllm tests/e2e tests/engine
worst=$?
wait "$engine" || worst=$?
cat "$output/engine"
wait "$others" || worst=$?
cat "$output/others"
rm -rf "$output"
exit "$worst"
