"""How requests are worded: for each part some wordings that demonstrations have, and some that none has.

Of a list of unseen wordings the even ones are for validation, the odd ones for the test.
"""

from __future__ import annotations

from typing import NamedTuple


class Wordings(NamedTuple):
    """Wordings of one thing; `shown` may be in demonstrations, `unseen` are in none."""

    shown: tuple[str, ...]
    unseen: tuple[str, ...] = ()

    def of_split(self, split: str) -> tuple[str, ...]:
        """The unseen ones of "validation" or "test"."""
        return self.unseen[{"validation": 0, "test": 1}[split] :: 2]


STORY = Wordings(
    (
        "Tell me a story about {who}.",
        "Write a story about {who}.",
        "Can you tell me a story about {who}?",
        "Please write a little story about {who}.",
        "I want a story about {who}.",
        "Make up a story about {who}.",
        "Tell a short story about {who}.",
        "Write me a short story about {who}, please.",
        "The story should be about {who}.",
        "Give me a story with {who} in it.",
        "Will you tell us a story about {who}?",
        "Think of a story about {who}.",
        "Let us have a story about {who}.",
        "Today we want to hear of {who}.",
        "Is there a story about {who}? Tell it.",
        "It is time for a story about {who}.",
        "We like stories about {who}. Tell us one.",
        "Now a story: it is about {who}.",
        "Can I have a story about {who}?",
        "Read me a story about {who}.",
        "Bedtime! A story about {who} would be nice.",
        "Say, do you know a story about {who}?",
    ),
    (
        "Could you invent a story for me? It is about {who}.",
        "Let me hear a tale about {who}.",
        "A story about {who}, please.",
        "I would love to read something about {who}.",
        "Who is the hero? It is {who}. Write the story.",
        "My child wants to hear about {who} tonight.",
    ),
)

WHO = ("{sort} named {name}", "{sort} called {name}", "a little {plain} named {name}", "{name}")

WORDS = Wordings(
    (
        "Use the words {words}.",
        "The story should have the words {words}.",
        "Please use the words {words}.",
        "It must have the words {words} in it.",
        "Put the words {words} in the story.",
        "Make sure to use {words}.",
        "It should have in it the words {words}.",
        "Have the words {words} in it.",
        "Work in the words {words}.",
        "Find a place for the words {words}.",
        "You need the words {words}.",
        "Tell it with the words {words}.",
        "With the words {words}, please.",
        "Say the words {words} as well.",
    ),
    (
        "Do not forget the words {words}.",
        "I want to read the words {words} in it.",
        "Let the words {words} be part of it.",
        "Somewhere in it should be {words}.",
    ),
)

COUNT = Wordings(
    (
        "Make it {n} sentences long.",
        "Use {n} sentences.",
        "Write exactly {n} sentences.",
        "It should have {n} sentences.",
        "Tell it in {n} sentences.",
        "There should be {n} sentences.",
        "Let it have {n} sentences.",
        "In {n} sentences, please.",
        "I need {n} sentences.",
        "Give it {n} sentences.",
        "Only {n} sentences.",
        "Make it just {n} sentences.",
        "Keep it to {n} sentences.",
    ),
    (
        "I want {n} sentences, no more and no less.",
        "The length is {n} sentences.",
        "Stop after {n} sentences.",
        "It takes {n} sentences to tell.",
    ),
)

HAPPY = Wordings(
    (
        "It should end happily.",
        "Give it a happy end.",
        "Make the end happy.",
        "It should have a happy ending.",
        "I want a happy end.",
        "The last sentence should be a happy one.",
        "Finish with something happy.",
        "End it on a happy note.",
        "Everybody should be glad at the end.",
        "Let the end be a glad one.",
    ),
    (
        "Please let it end well, with somebody happy.",
        "I like it when all are happy in the end.",
    ),
)

EVENT = Wordings(
    (
        "Tell me how {name} {third} the {object}.",
        "Write a story in which {name} {third} the {object}.",
        "Tell me a story where {name} {third} the {object}.",
        "I want a story in which {name} {third} the {object}.",
        "Write about how {name} {third} the {object}.",
        "Make up a story where {name} {third} the {object}.",
        "Can you tell me how {name} {third} the {object}?",
        "Please tell a story in which {name} {third} the {object}.",
        "In the story {name} should {base} the {object}.",
        "Let {name} {base} the {object} in a story.",
        "Will you tell us how {name} {third} the {object}?",
        "Think of a story in which {name} {third} the {object}.",
        "{name} {third} the {object}. Tell me more about it.",
        "Make {name} {base} the {object} in your story.",
        "I want to hear how {name} {third} the {object}.",
        "What happens when {name} {third} the {object}?",
        "Somewhere in the story {name} {third} the {object}.",
        "A story, please: {name} {third} the {object}.",
        "Let us hear of the day when {name} {third} the {object}.",
        "Put the {object} in the story, and let {name} {base} it.",
        "It is about {name}, who {third} the {object}.",
        "How does {name} {base} the {object}? Tell a story.",
        "Once {name} wants to {base} the {object}. Tell how that goes.",
        "It should be told how {name} {third} the {object}.",
    ),
    (
        "What is it like when {name} {third} the {object}? Tell me.",
        "One day {name} {third} the {object}. Write that story.",
        "I would love to read how {name} {third} the {object}.",
        "Have {name} {base} the {object} and write it down.",
        "There is a {object}, and {name} {third} it. Tell me that story.",
        "The story needs a part where {name} {third} the {object}.",
    ),
)

CHAT = Wordings(
    (
        "Tell me about the {object}.",
        "What about the {object}?",
        "Say something about the {object}.",
        "Do you know the {object}?",
        "Talk about the {object}.",
        "What can you say of the {object}?",
        "How is the {object}?",
        "Describe the {object}.",
        "What is the {object} like?",
        "Do you like the {object}?",
        "Now the {object}, please.",
        "Tell us of the {object}.",
    ),
    (
        "Have you seen the {object}?",
        "I would like to hear about the {object}.",
    ),
)

PERSONA = ("Your name is {name}.", "You are {name}.", "You are called {name}.")
HOBBY = ("You like to {hobby}.", "You love to {hobby}.")
SUFFIX = ("Always end with {suffix}", "End every answer with {suffix}")

ASK_NAME = Wordings(
    (
        "What is your name?",
        "Who are you?",
        "Tell me your name.",
        "How are you called?",
        "What should I call you?",
        "Say your name.",
        "Do you have a name?",
        "What do they call you?",
        "Please say who you are.",
    ),
    ("May I know your name?", "And you are called?"),
)
ASK_HOBBY = Wordings(
    (
        "What do you like to do?",
        "What do you love?",
        "Tell me what you like.",
        "What is fun for you?",
        "What do you do for fun?",
        "What is your hobby?",
        "What do you do when you are free?",
        "Which thing do you like most?",
        "Say what you love to do.",
    ),
    ("How do you spend your day?", "What makes you glad to do?"),
)
ASK_HERO = Wordings(
    (
        "Who is the story about?",
        "Who is it about?",
        "Who was in the story?",
        "What is the name of the {plain}?",
        "Who was the hero?",
        "Tell me who it was about.",
        "Which name did the {plain} have?",
        "Name the hero, please.",
        "What was the hero called?",
        "Can you say who was in it?",
        "Who was that about?",
        "Do you know who the hero was?",
        "Please tell me the name of the {plain}.",
        "What name did the {plain} have?",
        "I forgot who it was about. Who was it?",
        "And who was the hero of that?",
        "Who did you tell me about?",
        "Remind me of the name of the {plain}.",
        "The story was about whom?",
        "Tell me the name of the hero.",
    ),
    ("Say again who the hero was.", "Whose story was that?"),
)

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def listed(words: tuple[str, ...]) -> str:
    """ "run", "run and ball", "run, ball and sky"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def with_article(noun: str) -> str:
    """ "a girl", "an owl"."""
    return f"an {noun}" if noun[0] in "aeiou" and noun != "unicorn" else f"a {noun}"


def words_sentence(template: str, words: tuple[str, ...]) -> str:
    """A request for words, in the singular where there is one."""
    text = template.format(words=listed(words))
    return text.replace("words ", "word ", 1) if len(words) == 1 else text
