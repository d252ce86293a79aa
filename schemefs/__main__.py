"""`python -m schemefs`: the same program as `schemefs`, whatever the working directory holds.

`-m` puts the working directory first on the module path. A directory there called `drivers` or `schemes` would hide the
plugins, so it is removed before the first import.
"""

import os
import sys

if not sys.flags.safe_path and sys.path[:1] in ([""], [os.getcwd()]):
    del sys.path[0]

from schemefs.command.cli import main  # after the module path is corrected

if __name__ == "__main__":
    main()
