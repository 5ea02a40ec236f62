"""What the names of files and folders say.

tree   lists folders: skips hidden files, refuses links that lead out
roles  recognises the training, validation and test part by name
"""
