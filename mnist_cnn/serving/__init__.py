"""The champion in a browser: a web app that reads MLflow's registry and nothing else.

A request's way, file by file:

    connections  hangs up on a client that does not say what it wants
    guard        turns away other origins and foreign hosts, adds the security headers
    body         reads the body within bounds
    app          the routes; `answers` are their shapes in the OpenAPI page
    images       PNG and JPEG bytes to pixels      arrays   JSON to MNIST images, and no further
    ink          pixels to ink on paper
    segmentation ink to single digits
    drawing      a digit's ink to the image that MNIST would hold of it
    batching     images of many requests to one call of the model
    predictor    the model, compiled for batches of fixed sizes
    champion     which model that is; `watcher` follows the registry

`server` starts it all. static/ holds the page: one HTML file, one style sheet, one script.
"""
