"""The results of a study for people: in MLflow, on a page, in the terminal.

study_run publishes a study when a search ends, and terminal prints a summary. From the top down:

    study_run           the study's own run in MLflow: best model, report, description
    terminal            the summary that a search prints at its end
    tally               how many configurations stopped where, in words
    description         the run's description, in Markdown
    page                report.html, which holds all plots; its CSS is in `page_template`
    plots               which plots a study has, with their captions
    trial_plots         optimisation history, importances, learning curves
    parallel_coordinates, slices
                        trials by their hyperparameters; `parameter_axis` is the axis of one
    study_plots         Pareto front and its hypervolume, confirmations
    front               the Pareto front as a table and as data
    timeline            which run each worker trained when
    confirmation_table  first scores beside scores on fresh seeds
    history             what each run did and when, from its journal

listing is the `trials` subcommand, studies is the `studies` subcommand. result_names has the names
of the tags and metrics in which a study's run holds its result; `promotion` reads them. text
formats values; everything here uses it.
"""
