"""The article id: the same article is one id, whoever sends it and however often."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit, urlunsplit

from schemas.article import RawArticle


def article_id(raw: RawArticle) -> str:
    """First 32 hex digits of SHA-256 over `publisher NUL own`.

    `own` is the producer's own id, else the canonical URL, else `headline NUL body` (or `html`). No clock and
    no randomness enter. Without an id or a URL a changed text is therefore another article, not a correction.
    """
    own = raw.id or (canonical_url(raw.url) if raw.url else f"{raw.headline or ''}\0{raw.body or raw.html}")
    return hashlib.sha256(f"{raw.publisher}\0{own}".encode()).hexdigest()[:32]


def canonical_url(url: str) -> str:
    """The URL without what changes from one link to the next and never changes the page.

    Scheme and host in lower case; no fragment, default port, user name or `utm_*` parameter; an empty path is
    `/`. Everything else, the order of parameters included, stays.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    default = {"http": 80, "https": 443}.get(parts.scheme.lower())
    if parts.port and parts.port != default:
        host = f"{host}:{parts.port}"
    # The others stay to the letter: decoding and encoding them again would make two articles of one.
    query = "&".join(part for part in parts.query.split("&") if not part.startswith("utm_"))
    return urlunsplit((parts.scheme.lower(), host, parts.path or "/", query, ""))
