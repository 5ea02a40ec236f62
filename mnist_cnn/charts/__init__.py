"""What all plots share, and the plot of one training.

style   size, colours, labels, units, and the range of values that is shown
curves  accuracy and loss of one training; a run draws it when it ends

`training` calls `curves`; the plots of `report`, `evaluation` and the benchmarks use `style`.
Everything is drawn on a Matplotlib `Figure`, without pyplot and its global state.
"""
