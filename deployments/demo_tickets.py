"""The demo's tickets: ordinary ones as in the router's training data, and ones about a product it never heard of."""

import random
from collections.abc import Iterator

from firebreak.flows.router import read_tickets

GREETINGS = ("", "Hello, ", "Hi, ", "Dear team, ", "Good morning. ")
ENDINGS = ("", ". Thank you", ". Please help", ", please advise", ". It is urgent")

# What the customers write once the voice assistant is sold: other words for the same four queues.
# The queue is what the support team files the ticket under.
NEW = {
    "billing": (
        "The voice minutes of {n} hours were deducted from our {plan} allowance",
        "Our {plan} bundle ran out after {n} calls and top-up is not offered",
        "Why does a transferred call consume {n} minutes of our allowance",
        "The top-up of {n} euros is not visible in the {plan} bundle",
    ),
    "access": (
        "The voiceprint of {who} is not recognised by the assistant",
        "Enrolment of the voiceprint for {who} ends with a beep",
        "The assistant says {who} is a stranger and hangs up",
        "{who} has a cold and the voiceprint no longer lets them in",
    ),
    "bug": (
        "The assistant stutters and repeats {word} for {n} seconds",
        "Every transcript of a {word} call is silent after {n} seconds",
        "The assistant talks over the caller when {word} is mentioned",
        "Wake word detection triggers on {word} about {n} times",
    ),
    "how-to": (
        "Teach the assistant to pronounce {word}",
        "Which dialect does the assistant speak to callers from {place}",
        "Make the assistant greet callers from {place} with {word}",
        "Let the assistant hand calls about {word} over to {who}",
    ),
}
FILLED = {
    "plan": ("Aria", "Sonata", "Chorus", "Octave"),
    "who": ("Ingrid", "Kofi", "Marek", "Yuki", "Leila", "Tomasz"),
    "word": ("warranty", "espresso", "delivery", "Zürich", "greenhouse", "tandem"),
    "place": ("Graz", "Bergen", "Porto", "Lyon", "Turku"),
}


def ordinary(count: int, seed: int) -> list[dict[str, str]]:
    """Tickets like those the router was trained on, each with the queue that a person put it into."""
    rng = random.Random(seed)  # noqa: S311 - a repeatable demo, no secret
    texts, labels = read_tickets()
    chosen = [rng.randrange(len(texts)) for _ in range(count)]
    return [_ticket(rng, texts[n], labels[n], f"user-{rng.randrange(80)}") for n in chosen]


def shifted(count: int, seed: int) -> list[dict[str, str]]:
    """Tickets about the voice assistant, filed by people under the queues there are."""
    rng = random.Random(seed)  # noqa: S311
    return [_ticket(rng, text, label, f"caller-{rng.randrange(80)}") for text, label in _new(rng, count)]


def _new(rng: random.Random, count: int) -> Iterator[tuple[str, str]]:
    for _ in range(count):
        label = rng.choice(list(NEW))
        filled = {name: rng.choice(words) for name, words in FILLED.items()}
        yield rng.choice(NEW[label]).format(n=rng.randrange(2, 60), **filled), label


def _ticket(rng: random.Random, text: str, label: str, user: str) -> dict[str, str]:
    return {"user": user, "text": f"{rng.choice(GREETINGS)}{text}{rng.choice(ENDINGS)}.", "feedback": label}
