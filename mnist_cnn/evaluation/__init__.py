"""How good a saved model is on images that it has not seen.

scores       figures from plain arrays: accuracy, interval, calibration
figures      confusion matrix, reliability, the two grids of images
image_files  labelled images from an .npz or a folder
data         which images a name stands for; the only place that opens a test set
saved_model  a .keras file: loaded safely, checked, asked, timed
evaluate     all of that together, in a worker process
worker       that process, as the verbs call it
lockbox      each opening of a test set, written to the model's run
table        the verb `evaluate`
"""
