"""The least that a plan of a fleet must do, as its own process: `fleet_client.py FOLDER` sends one list request to
every socket of the folder, from 32 threads, and parses the answers.
"""

import http.client
import json
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor


def containers(path: str) -> int:
    connection = http.client.HTTPConnection("docker")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(path)
    connection.request("GET", "/containers/json?all=1")
    number = len(json.loads(connection.getresponse().read()))
    connection.close()
    return number


folder = sys.argv[1]
with ThreadPoolExecutor(32) as pool:
    print(sum(pool.map(containers, [os.path.join(folder, name) for name in os.listdir(folder)])))  # noqa: PTH118, PTH208
