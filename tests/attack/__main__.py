import sys

from tests.attack.long import main

if __name__ == "__main__":  # the processes that it starts import this as well
    sys.exit(main())
