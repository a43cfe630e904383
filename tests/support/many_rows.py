"""Tables of a gateway with so many rows that a read of them takes long; the server copies them."""

from __future__ import annotations

from tests.support.gateways import Gateway

DAY = 86400

#: 2026-09-01; rows go back from here.
_END = 1788220800


def fill_logs(gateway: Gateway, token_id: int, rows: int) -> str:
    """Uses of one token over 60 days; the path that asks for them all."""
    for number in range(60):
        gateway.insert(
            "logs",
            user_id=1,
            token_id=token_id,
            type=2,
            quota=number,
            model_name=f"model-{number % 20}",
            created_at=_END - number * DAY - 1,
        )
    columns = "user_id, token_id, type, quota, model_name, created_at"
    while (missing := rows - gateway.execute("SELECT COUNT(*) FROM logs")[0][0]) > 0:
        gateway.execute(f"INSERT INTO logs ({columns}) SELECT {columns} FROM logs LIMIT {missing}")
    period = "start_date=2026-07-01&end_date=2026-09-02"
    return f"/v1/dashboard/billing/usage?include=daily_costs&{period}"


def fill_redemptions(gateway: Gateway, rows: int) -> None:
    """Codes, each of which another user redeemed."""
    gateway.insert("redemptions", id=1, key="1", quota=1, used_user_id=2, status=3)
    columns = "quota, used_user_id, status"
    while (last := gateway.execute("SELECT MAX(id) FROM redemptions")[0][0]) < rows:
        key = f"CAST(id + {last} AS CHAR(32))"
        gateway.execute(
            f'INSERT INTO redemptions (id, "key", {columns})'
            f" SELECT id + {last}, {key}, {columns} FROM redemptions LIMIT {rows - last}"
        )
