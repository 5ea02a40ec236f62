"""One search, in the process that trains nothing: it decides, and workers train.

From the top down:

    request    the user's options
    start      locks the experiment, starts the workers, and imports slow modules meanwhile
    run        checks the experiment, opens its study, recovers from a kill
    phases     exploring, confirming, the report; from the start again after an outage
    dispatch   keeps the workers busy, and tells Optuna how each trial ended
    timetable  when each phase must end, and how long it is expected to take
    repair     retrains models that a power cut has damaged
    progress   shows all that in the terminal

`cli` and `api` call `start`. `study` makes the decisions about trials; `training` is what a worker
does.
"""
