"""The least that a plan must do, as its own process: `list_request.py LABEL` sends one list request for the
containers with that label to the daemon of $DOCKER_HOST, and parses the answer.
"""

import http.client
import json
import os
import socket
import sys
import urllib.parse

label = sys.argv[1]
connection = http.client.HTTPConnection("docker")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://"))
filters = urllib.parse.quote(json.dumps({"label": [label]}))
connection.request("GET", f"/v1.41/containers/json?all=1&filters={filters}")
print(len(json.loads(connection.getresponse().read())))
