"""``python -m segagent``: the command, for where its script is not on the path."""

import sys

from segagent.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
