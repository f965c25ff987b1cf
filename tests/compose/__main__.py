"""`python -m tests.compose` prepares an engine and runs the tests of this folder."""

import sys

from tests.compose.engine import main

sys.exit(main())
