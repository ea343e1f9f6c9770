"""`python -m service` is the command line."""

import sys

from service.cli import main

sys.exit(main())
