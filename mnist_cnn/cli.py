"""The command line: parses the arguments, calls one subcommand, and exits.

Exit code 0: done. 1: the work failed or was refused. 2: wrong usage, including unknown names.
130: stopped by Ctrl-C.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from mnist_cnn.command_line.parser import make_parser
from mnist_cnn.command_line.verbs import check_folder
from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.urls import hide_passwords


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with its exit code.

    Args:
        arguments: The arguments; those of the process by default.
    """
    try:
        options = make_parser().parse_args(arguments)
        check_folder(options)
        # Set before TensorFlow is imported, to hide its start-up messages.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        options.verb(options)
    except UserError as error:
        print(f"mnist-cnn: {hide_passwords(str(error))}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)
