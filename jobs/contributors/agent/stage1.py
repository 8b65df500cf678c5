"""Stage 1: the pseudonym that a contributor makes before anything leaves its premises.

P1 = first 17 characters of base32(HMAC-SHA-256(K1, "hub/p1/v1" NUL "nir13|YYYYMMDD|sex")): 17 is the width of
BEN_NIR_PSA and NIR_ANO_17, which carry it. As in FOIN the number is the policy holder's, so a child keeps its own
pseudonym under a parent's NIR; same-sex twins under one holder share one. Pure: the key comes as bytes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import date

P1_LENGTH = 17
_DOMAIN = b"hub/p1/v1\0"
_NIR13 = re.compile(r"[12][0-9]{4}(?:[0-9]{2}|2[AB])[0-9]{6}", re.ASCII)


def stage1(key: bytes, nir13: str, birth_date: date, sex: str) -> str:
    """P1 of a person: 17 characters of A-Z and 2-7.

    ``nir13`` is canonical (``canonical_nir``), ``sex`` is "1" or "2". Raises ``ValueError``, without any value,
    for anything else: a pseudonym of a malformed identity would be plausible and link nothing.
    """
    if len(key) != 32:
        raise ValueError("the stage-1 key must have 32 bytes")
    if not _NIR13.fullmatch(nir13) or sex not in ("1", "2"):
        raise ValueError("not a canonical identity")
    identity = f"{nir13}|{birth_date:%Y%m%d}|{sex}" if birth_date.year >= 1000 else ""
    if not identity:
        raise ValueError("not a canonical identity")
    digest = hmac.new(key, _DOMAIN + identity.encode("ascii"), hashlib.sha256).digest()
    return base64.b32encode(digest)[:P1_LENGTH].decode("ascii")
