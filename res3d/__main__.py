"""``python -m res3d``: the same as the command ``res3d``."""

import sys

from res3d.cli import main

if __name__ == "__main__":
    sys.exit(main())
