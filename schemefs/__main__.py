"""`python -m schemefs`: the same program, whatever lies in the working directory.

`-m` puts the working directory first on the path, and people have folders called `drivers` and `schemes` of their own:
it must be gone before a plugin is looked for.
"""

import os
import sys

if not sys.flags.safe_path and sys.path[:1] in ([""], [os.getcwd()]):
    del sys.path[0]

from schemefs.command.cli import main  # after the path is put right

if __name__ == "__main__":
    main()
