"""One search, in the process that trains nothing: it decides, and workers train.

From the top down:

    request    what a user asks of a search
    start      locks the experiment, starts the workers, and imports what is slow meanwhile
    run        checks the experiment, opens its study, mends what a kill left behind
    phases     exploring, confirming, the report; from the start again after an outage
    dispatch   keeps the workers busy, and tells Optuna how each trial ended
    timetable  when each phase must end, and how long it is expected to take
    repair     makes models again that a power cut has damaged
    progress   what a terminal shows of all that

`cli` and `api` call `start`. What is decided about trials is decided in `study`; what a worker does
is in `training`.
"""
