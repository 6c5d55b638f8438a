import msgspec

from faststream import TestApp
from faststream.kafka import TestKafkaBroker

from service import app, broker, provider, send, sent, signature


async def robot() -> str:
    return "a robot"


async def check() -> None:
    options = {"server": "smtp"}
    async with TestKafkaBroker(broker), TestApp(app, run_extra_options=options):
        await broker.publish({"to": "ann"}, "eu.mails")
        with provider.scope(signature, robot):
            await broker.publish(
                {"to": "bob", "copies": 2}, "eu.mails", headers={"accept-language": "fr"}
            )
        try:
            await broker.publish({"to": 7}, "eu.mails")
        except msgspec.ValidationError as error:
            assert "Expected `str`" in str(error), error
        else:
            raise AssertionError("it was valid")

        assert send.mock.call_count == 3

    assert sent == [
        "smtp: 1 to ann in en from a person, mail-1",
        "smtp: 2 to bob in fr from a robot, mail-2",
    ], sent
