"""A calculator that is asked over RabbitMQ, with an audit of all that happens in it."""

from typing import Any

from pydantic import BaseModel

from faststream import BaseMiddleware, Depends, ExceptionMiddleware, FastStream, Path
from faststream.rabbit import ExchangeType, RabbitBroker, RabbitExchange, RabbitMessage, RabbitQueue

journal: list[str] = []
errors = ExceptionMiddleware()


@errors.add_handler(ZeroDivisionError, publish=True)
async def divided_by_zero(error: ZeroDivisionError) -> dict[str, str]:
    return {"error": "division by zero"}


class Audit(BaseMiddleware):
    async def on_receive(self) -> None:
        journal.append("received")
        return await super().on_receive()

    async def consume_scope(self, call_next: Any, msg: Any) -> Any:
        journal.append(f"consume {msg.correlation_id}")
        return await call_next(msg)

    async def publish_scope(self, call_next: Any, cmd: Any) -> Any:
        cmd.headers["audited"] = "yes"
        journal.append("publish")
        return await call_next(cmd)

    async def after_processed(
        self, exc_type: Any = None, exc_val: Any = None, exc_tb: Any = None
    ) -> bool | None:
        journal.append("processed" if exc_type is None else f"failed {exc_type.__name__}")
        return await super().after_processed(exc_type, exc_val, exc_tb)


broker = RabbitBroker("amqp://guest:guest@localhost:5672/", middlewares=(Audit, errors))
app = FastStream(broker)

exchange = RabbitExchange("math", type=ExchangeType.TOPIC)
operations = RabbitQueue("operations", durable=True, routing_key="calc.{operation}")


class Operands(BaseModel):
    left: float
    right: float


def precision(message: RabbitMessage) -> int:
    return int(message.headers.get("precision", 2))


@broker.subscriber(operations, exchange)
async def calculate(
    operands: Operands, operation: str = Path(), digits: int = Depends(precision)
) -> dict[str, float]:
    match operation:
        case "divide":
            result = operands.left / operands.right
        case "add":
            result = operands.left + operands.right
        case _:
            raise ValueError(operation)
    return {"result": round(result, digits)}
