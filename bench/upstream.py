"""Stand in for a model server: python upstream.py --uds SOCKET COMMAND…

The agent knows model servers by these words, and takes this one over. The
command, which listens on the socket, is a child, so both end together.
"""

from __future__ import annotations

import subprocess
import sys

sys.exit(subprocess.call(sys.argv[3:]))
