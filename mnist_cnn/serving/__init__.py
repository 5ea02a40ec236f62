"""The web app: a page to draw digits on, and an API. It reads MLflow's registry and nothing else.

The modules in the order in which a request passes through them:

    connections   limits on time and number; lets a client read its refusal
    bodies        reads the body of a request within limits
    guard         refuses other web pages, adds security headers
    login         asks for the token, if there is one
    app           the routes; `schemas` describes them for the OpenAPI document
    images        PNG and JPEG to pixels; `containers` drops their metadata first
    arrays        JSON to MNIST images, which go to `inference` directly
    ink           pixels to ink on paper
    segmentation  ink to single digits
    drawing       the ink of a digit to an MNIST image
    inference     the images of many requests to few calls of the model
    champion      the model itself, kept up to date with the registry
    reading       probabilities to the response, digit by digit
    predict       the `predict` subcommand: the same predictions in a terminal

A request that cannot be answered raises `refusal.Refusal`. `server` starts the app. static/ holds
the page: HTML, a style sheet and scripts.
"""
