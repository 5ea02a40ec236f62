"""The champion in a browser: a web app that reads MLflow's registry and nothing else.

A request's way, file by file:

    limits       hangs up on a client that does not say what it wants; reads bodies within bounds
    guard        turns away other origins and foreign hosts, adds the security headers
    app          the routes; `answers` are their shapes in the OpenAPI page
    images       PNG and JPEG bytes to pixels      arrays   JSON to MNIST images, and no further
    ink          pixels to ink on paper
    segmentation ink to single digits
    drawing      a digit's ink to the image that MNIST would hold of it
    inference    images of many requests to few calls of the model
    champion     which model that is, as the registry changes
    reading      what it answers, digit by digit

`server` starts it all. static/ holds the page: one HTML file, one style sheet, one script.
"""
