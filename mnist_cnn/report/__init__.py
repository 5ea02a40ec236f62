"""What a study shows to people: in MLflow, on a page, in the terminal.

history            what its runs did and when, from their journals
wording            values as people read them
trial_plots      history, importances, learning curves
parallel_coordinates  parallel coordinates, slices; `parameter_axis` places the trials
study_plots      Pareto front, confirmations
timeline           the workers' time
pictures           which of these a study has, and how each is read
page               report.html, which holds all of them
study_run          the study's own run in MLflow
listing            the verb `trials`
"""
