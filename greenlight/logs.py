"""What a log must not hold: addresses that are credentials."""

from __future__ import annotations

import logging
import re

_CALLBACK = re.compile(r"glcb_[\w-]+")


class HideCallbacks(logging.Filter):
    """Cut one-time tokens out of paths: whoever reads the log could use them."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if "glcb_" in text:
            record.msg, record.args = _CALLBACK.sub("glcb_…", text), ()
        return True
