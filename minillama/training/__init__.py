"""Training: from settings to a model that learns, in the order of a run.

    settings.py settings_toml.py presets.py    what a run is told
    stage.py          what the trainer asks of a stage: start, batch, objective, figures, evaluate
    pretraining.py    the first stage; initial.py: the model that a run starts from
    objectives.py     (model, batch) -> sums and gradients; batches that split themselves
    gradients.py      one batch through the model and back, the head in chunks
    workers.py        threads that share a batch
    optimizer.py schedule.py    AdamW, clipping, the learning rate of a step
    functions.py      what a step is made of, as a value: a learner's functions can take the place of any
    trainer.py        the loop; run_folder.py checkpoint.py metrics.py samples.py curves.py    what it leaves
    signals.py memory.py    Ctrl-C that waits for the end of a step; whether a run fits

What the paper does not say is marked "unconfirmed" where it was decided.
"""
