"""The command `mnist-cnn`, for `cli`: its subcommands and their arguments.

    parser  the arguments of each subcommand
    verbs   a function for each subcommand

A subcommand that is more than one call has a module or a folder of its own, such as `replay` or
`search_process`.
"""
