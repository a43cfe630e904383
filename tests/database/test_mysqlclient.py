"""Which driver reads MySQL: the one in C where it is installed, else PyMySQL."""

from __future__ import annotations

from importlib.util import find_spec

from tests.support.application import Billing
from tests.support.mariadb import MariaDB


def test_mariadb_is_read_by_the_driver_that_is_installed(mariadb: MariaDB) -> None:
    with mariadb.database() as url:
        billing = Billing(url)
        billing.run("init")

        answer = billing.client().get("/readyz")
        connection = billing.app.extensions["billing"].database.peewee.connection()
        driver = type(connection).__module__.partition(".")[0]
        billing.close()

    assert answer.status_code == 200
    assert driver == ("MySQLdb" if find_spec("MySQLdb") else "pymysql")
