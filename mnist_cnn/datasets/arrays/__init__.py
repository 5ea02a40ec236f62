"""Arrays of pixels and labels in any common form, for the sources that have them.

assembly  from arrays to a `Dataset`
pixels    pixels to bytes
labels    labels to class indices and names
"""
