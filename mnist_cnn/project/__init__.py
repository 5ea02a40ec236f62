"""The project in the current folder: its experiments, and its code that trainings depend on.

In reading order:

    loading      finds and loads experiments, and makes one for somebody's data
    plan         what the search process knows about an experiment
    fingerprint  what makes trials comparable
    sources      the project's code that a training depends on
    syntax       which statements of a module that is

Everything that needs an experiment calls `loading`. A worker makes the plan for the search.
"""
