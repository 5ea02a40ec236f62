"""Picture files, for searches, evaluations, the page and `predict`.

decoder  from the bytes of a file to pixels, within limits; fitting into a size
files    from labelled picture files to a `Dataset`, for the sources folder and table
named    finds the pictures that a table names
"""
