"""The meaning of file and folder names.

tree   lists folders: skips hidden files, refuses links that lead out
roles  recognises the training, validation and test part by name
"""
