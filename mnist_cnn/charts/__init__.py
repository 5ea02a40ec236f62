"""The style of all plots, and the plot of one run.

style   size, colours, labels, units, and the range of values that is shown
curves  accuracy and loss of one run, drawn when it ends

`training` calls `curves`; the plots of `report`, `evaluation` and the benchmarks use `style`.
Everything is drawn on a Matplotlib `Figure`, without pyplot and its global state.
"""
