"""The command `mnist-cnn`, for `cli`: its arguments and its verbs.

    parser  the arguments of each verb
    verbs   what each verb calls

A verb that is more than one call has a module or a folder of its own, such as `replay` or
`search_process`.
"""
