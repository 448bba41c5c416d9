#!/usr/bin/env python
"""The same as ``res3d benchmark``."""

import sys

from res3d.cli import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", *sys.argv[1:]]))
