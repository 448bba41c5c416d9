#!/usr/bin/env python
"""The same as ``res3d sample``."""

import sys

from res3d.cli import main

if __name__ == "__main__":
    sys.exit(main(["sample", *sys.argv[1:]]))
