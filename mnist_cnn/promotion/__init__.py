"""From a run's model to the champion, and back.

gate       the rule: two models on the same images
candidate  the model to promote, and its test
card       what the registry says of it, in Markdown
promote    the verb: test, gate, registration, aliases
champion   the verbs `rollback` and `pull`
"""
