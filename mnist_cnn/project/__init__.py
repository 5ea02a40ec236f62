"""The project in the current folder: its experiments, and its code that runs depend on.

In reading order:

    loading      finds and loads experiments, and makes one for a user's data
    plan         what the search process knows about an experiment
    fingerprint  what makes trials comparable
    sources      the project's code that a run depends on
    syntax       the statements of a module that belong to it

Everything that needs an experiment calls `loading`. A worker makes the plan for the search.
"""
