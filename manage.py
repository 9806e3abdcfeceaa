#!/usr/bin/env python
"""Greenlight's command line."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "greenlight.settings")
    # commands are spelt with hyphens, their modules cannot be
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        sys.argv[1] = sys.argv[1].replace("-", "_")
    execute_from_command_line(sys.argv)
