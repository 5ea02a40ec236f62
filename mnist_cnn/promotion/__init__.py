"""From a run's model to the champion, and back.

promote     the verb: test the model, compare it with the champion, register it, move the aliases
front       which point of a study with several objectives
chosen      the model of a run, or what is to be derived from it: an average, a calibrated model
candidate   the model to promote, derived if need be, and its test
gate        the rule by which a model passes
rivals      the models that it is compared with: the champion, and the best champion so far
card        the version's description in the registry, in Markdown
rollback    the verb: the previous champion becomes the champion again
pull        the verb: write the champion's file to a folder

The verbs call the other modules, and `evaluation` and `registry`; the verbs do not call each other.
"""
