"""Queries as people mistype them."""

from random import Random

_SHORTEST_MISSPELT = 4


def misspell(text: str, random: Random) -> str:
    """Change one letter of one word of at least four: left out, doubled, swapped with the next, or another's.

    Texts without such a word come back as they are.
    """
    words = text.split(" ")
    long = [index for index, word in enumerate(words) if len(word) >= _SHORTEST_MISSPELT]
    if not long:
        return text
    index = random.choice(long)
    word = words[index]
    at = random.randrange(1, len(word) - 1)
    kind = random.randrange(4)
    if kind == 0:
        word = word[:at] + word[at + 1 :]
    elif kind == 1:
        word = word[:at] + word[at] + word[at:]
    elif kind == 2:
        word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    else:
        word = word[:at] + random.choice(word) + word[at + 1 :]
    words[index] = word
    return " ".join(words)
