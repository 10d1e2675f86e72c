"""`python -m green` is `greenwsgi`."""

import sys

from green.cli.main import main

sys.exit(main())
