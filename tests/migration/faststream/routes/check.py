from faststream.kafka import TestKafkaBroker

from service import broker, copies, keep, log, sizes


async def check() -> None:
    async with TestKafkaBroker(broker):
        await broker.publish("ab", "text.words.short")
        keep.mock.assert_called_once_with(4)
        copies.mock.assert_called_once_with("abab")
    assert sizes == [4]
    assert log.index("outer") < log.index("inner")
    assert "abab" in log
    assert len(broker.subscribers) == 4
