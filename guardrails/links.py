"""Which URLs an answer may show: those of allowed hosts, those that the given passages hold, and relative ones."""

from __future__ import annotations

import html
import re
from collections.abc import Set
from dataclasses import dataclass

LINK_REMOVED = "[link removed]"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# No user name before the host and no backslash: browsers and people read those differently.
_WEB = re.compile(r"https?://([A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}))(?::[0-9]{1,5})?(?=[/?#]|\Z)", re.IGNORECASE)
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029<>\"`\[\]{}|\\^]")
BARE_URL = re.compile(r"(?:https?://|ftp://|(?<![A-Za-z0-9])www\.)[^\s<>\"`\[\]{}|\\^]*", re.IGNORECASE)
_PREFIX = re.compile(r"https?://|ftp://|www\.", re.IGNORECASE)
_TRAILING = ".,;:!?'*_~"


@dataclass(frozen=True, slots=True)
class LinkRules:
    """``hosts`` are host names, "*.example.org" for every host below one; ``urls`` are allowed to the letter."""

    hosts: Set[str] = frozenset()
    urls: Set[str] = frozenset()

    def permit(self, url: str) -> bool:
        """Whether ``url`` may be a link: http(s) to an allowed place, mailto, or relative without a host."""
        # Renderers decode entities before a browser sees the URL, so both readings have to be allowed.
        return self._permit(url) and self._permit(html.unescape(url))

    def permit_bare(self, url: str) -> bool:
        """The same for a URL in running text, which renderers may turn into a link; "www." counts as http."""
        return self.permit(f"http://{url}" if url[:4].lower() == "www." else url)

    def scrub(self, code: str) -> tuple[str, int]:
        """``code`` with every URL that is not allowed replaced, and how many were."""
        removed = 0

        def replace(match: re.Match[str]) -> str:
            nonlocal removed
            url, rest = split_bare(match.group())
            names_a_place = any(map(str.isalnum, url[len(prefix_of(url)) :]))
            if not names_a_place or self.permit_bare(url):
                return match.group()
            removed += 1
            return LINK_REMOVED + rest

        return BARE_URL.sub(replace, code), removed

    def _permit(self, url: str) -> bool:
        if _UNSAFE.search(url):
            return False
        if _SCHEME.match(url) is None:
            # A second URL inside a relative one could be taken for a link of its own.
            return not url.startswith("//") and "://" not in url
        if url[:7].lower() == "mailto:":
            return True
        web = _WEB.match(url)
        if web is None:
            return False
        return url in self.urls or self._allows_host(web.group(1).lower())

    def _allows_host(self, host: str) -> bool:
        if host in self.hosts:
            return True
        labels = host.split(".")
        return any("*." + ".".join(labels[start:]) in self.hosts for start in range(1, len(labels)))


def split_bare(text: str) -> tuple[str, str]:
    """(URL, what follows it): punctuation and a parenthesis that closes nothing do not belong to a bare URL."""
    end = len(text)
    opened, closed = text.count("("), text.count(")")
    while end and (text[end - 1] in _TRAILING or (text[end - 1] == ")" and closed > opened)):
        closed -= text[end - 1] == ")"
        end -= 1
    return text[:end], text[end:]


def prefix_of(url: str) -> str:
    """The "https://" or "www." that a bare URL begins with."""
    match = _PREFIX.match(url)
    return match.group() if match else ""
