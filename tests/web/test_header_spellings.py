"""How callers write Authorization and New-Api-User, and how they may not (CONTRACT section 3)."""

from __future__ import annotations

import pytest

from tests.support.application import TwoUsers
from tests.support.http_client import bearer


def test_a_key_is_taken_in_every_spelling(two_users: TwoUsers) -> None:
    key = two_users.key.removeprefix("sk-")
    spellings = [
        f"Bearer sk-{key}",
        f"bearer sk-{key}",
        f"BEARER  \t sk-{key}",
        f" \tBearer sk-{key} \t",
        f"Bearer {key}",
        f"sk-{key}",
        key,
        f"Bearer sk-{key}-12",
        f"Bearer {key}-a-channel-name",
        f"Bearer sk-{key}, Bearer sk-another",
    ]

    said = two_users.error_codes({"Authorization": spelling} for spelling in spellings)

    assert dict(zip(spellings, said, strict=True)) == dict.fromkeys(spellings, "ok")


@pytest.mark.parametrize(
    ("code", "spellings"),
    [
        ("missing_api_key", ["", "  ", "Bearer", "bearer ", "\tBearer \t", ", Bearer sk-x"]),
        (
            "invalid_api_key",
            [
                "Bearer sk-",
                "Bearer -",
                "Bearer Bearer {key}",
                "Basic {key}",
                "Bearer{key}",
                "Bearer x-{key}",
                "Bearer {key} x",
                "Bearer SK-{bare}",
                "Bearer sk-sk-{bare}",
                "Bearer {bare}x",
                "Bearer \xff\xfe\x80",
                "Bearer " + "x" * 129,
                "Bearer " + "x" * 8000,
                "Bearer %' OR 1=1 --",
            ],
        ),
    ],
)
def test_what_is_no_key_is_refused_not_failed(
    two_users: TwoUsers, code: str, spellings: list[str]
) -> None:
    bare = two_users.key.removeprefix("sk-")

    said = two_users.error_codes(
        {"Authorization": spelling.format(key=two_users.key, bare=bare)} for spelling in spellings
    )

    assert dict(zip(spellings, said, strict=True)) == dict.fromkeys(spellings, code)


#: How a caller may and may not write an id in New-Api-User.
IDS = ["{id}", "Bearer {id}", "bearer  {id}", " {id} ", "000{id}", "{id:018}"]
NOT_IDS = ["{id:019}", "+{id}", "-{id}", "{id}.0", "0x1", "x", "١", "１", "{id} {id}", "\xb2", "0"]
BLANK = ["", " ", "Bearer", "Bearer "]


def as_user(two_users: TwoUsers, spellings: list[str], secret: str) -> list[dict[str, str]]:
    # A server hands the bytes of a header over as latin-1.
    raw = [text.format(id=two_users.alice["id"]).encode().decode("latin-1") for text in spellings]
    return [bearer(secret, text) for text in raw]


def test_with_a_key_the_user_may_be_named_and_then_must_be_right(two_users: TwoUsers) -> None:
    spellings = [*IDS, *BLANK, *NOT_IDS]

    said = two_users.error_codes(as_user(two_users, spellings, two_users.key))

    right, wrong = [*IDS, *BLANK], NOT_IDS
    assert said == ["ok"] * len(right) + ["user_mismatch"] * len(wrong)


def test_an_access_token_needs_its_own_user_named(two_users: TwoUsers) -> None:
    spellings = [*IDS, *BLANK, *NOT_IDS, str(two_users.bob["id"]), "999999999999999999"]

    said = two_users.error_codes(as_user(two_users, spellings, two_users.alice["access_token"]))

    assert said == ["ok"] * len(IDS) + ["invalid_api_key"] * (len(spellings) - len(IDS))


def test_an_access_token_is_compared_whole(two_users: TwoUsers) -> None:
    secret = two_users.alice["access_token"]
    others = [f"sk-{secret}", f"{secret}-1", secret.swapcase(), secret[:-1], f"{secret} x"]

    said = two_users.error_codes(as_user(two_users, ["{id}"], other)[0] for other in others)

    assert said == ["invalid_api_key"] * len(others)


def test_new_api_user_can_be_required_of_everyone(two_users: TwoUsers) -> None:
    requests = [
        bearer(two_users.key),
        bearer(two_users.key, " "),
        bearer(two_users.key, two_users.alice["id"]),
    ]

    said = two_users.error_codes(requests, REQUIRE_NEW_API_USER="true")

    assert said == ["user_mismatch", "user_mismatch", "ok"]
