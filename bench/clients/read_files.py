"""The least that a plan against a snapshot must do: `read_files.py STACK SNAPSHOT` parses the two files."""

import json
import sys
import tomllib

with open(sys.argv[1], "rb") as stack, open(sys.argv[2], "rb") as snapshot:  # noqa: PTH123
    tomllib.load(stack)
    json.load(snapshot)
