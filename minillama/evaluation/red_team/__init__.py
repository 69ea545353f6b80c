"""Red teaming: how often a model's answers violate, and how often it refuses what is harmless (LLaMA 2, section 4).

    prompts.py     a prompt with its label and category
    suites.py      where prompts come from: files that the reader names, and a small suite of stories inside
    attacks.py     hypothetical framing, misspelling, role play … : functions from a dialogue to a dialogue
    answers.py     what a model answers, kept on disk as it comes
    violations.py  who says that an answer violates: a scorer, word rules, a classifier
    votes.py       a person who says it, blind to the attack
    refusals/      a trained classifier of refusals, its hand-made labels and the string match beside it
    robustness.py  γ: violating prompts per hour of a person's thinking and typing
    rates.py       rates with intervals by suite, category and attack
    report.py      Markdown and JSON of them
    exercise.py    what all of that makes together
    run.py         one exercise from prompts to the report

The paper has its answers judged by three people; the classifiers here are this project's own measures and small, and
the report says so wherever one of their figures stands.
"""
