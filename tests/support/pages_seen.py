"""What tests look for in a page and in the figures behind it."""

import math
from html.parser import HTMLParser


def finite(value) -> bool:
    """Whether plain values hold no number that JSON cannot."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and finite(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(finite, value))
    return value is None or isinstance(value, str) or math.isfinite(value)


class Seen(HTMLParser):
    """The tags of a page, and what they refer to."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.references = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.references += [value for name, value in attributes if name in ("src", "href", "srcset", "action", "data")]
