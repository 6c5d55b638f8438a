from faststream import TestApp
from faststream.kafka import TestKafkaBroker

from service import app, broker, elsewhere, greet, order


async def check() -> None:
    async with (
        TestKafkaBroker(broker),
        TestApp(app, run_extra_options={"dsn": "db", "workers": "3"}),
    ):
        greet.mock.assert_called_once_with("ada")
        assert await elsewhere("you") == "you Db"
    assert order == [
        "lifespan",
        "on_startup",
        "after_startup",
        "on_shutdown",
        "after_shutdown",
        "closed",
    ]
