"""Run a package inside its own environment: train, then save. Standard library only."""

from __future__ import annotations

import os
import sys

# The package comes first, and this file's own directory is not searched.
sys.path[0] = os.getcwd()

from train import Main  # type: ignore[import-not-found]  # noqa: E402  # the package's

main = Main()
main.train("./data")
main.save()
