import os
import sys

from tests.attack.long import main

if __name__ == "__main__":  # the processes that it starts import this as well
    os.environ["CORTEXCTL_NO_CACHE"] = "1"  # the user's cache is not ours
    sys.exit(main())
