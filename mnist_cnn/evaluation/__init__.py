"""The evaluation of a saved model on images that it has not seen.

table is the `evaluate` subcommand. It and `promotion` call, from the top down:

    lockbox      records each opening of a test set on the model's run; knows what was searched
    worker       the process that loads and runs models
    evaluate     what that process does: load a model (`training.saved_model`), predict, score
    data         which images a name means; the only module that opens a test set for a model
        plots        confusion matrix, reliability, the two grids of images
    calibration  a temperature, chosen on validation images and kept in the file; for `promotion`
    scores       accuracy with its interval, loss and calibration, from plain arrays
"""
