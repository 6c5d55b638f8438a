from __future__ import annotations

from typing import assert_type

import pytest

from callboard_actors import Actor, ActorContext, ActorRef, ActorSystem, Pool, SpecError, actor

pytestmark = pytest.mark.anyio


class Greeter:
    def __init__(self, greeting: str = "Hello") -> None:
        self.greeting = greeting

    async def receive(self, name: str) -> str:
        return self.greeting + ", " + name


class Named:
    def __init__(self, context: ActorContext[str], greeting: str = "Hello") -> None:
        self.context = context
        self.greeting = greeting

    async def receive(self, name: str) -> str:
        return f"{self.greeting}, {name}, says {self.context.ref.path}"


async def test_a_function_may_be_an_actor() -> None:
    @actor
    async def greet(name: str) -> str:
        return f"Hello, {name}"

    async with ActorSystem() as system:
        greeter = await system.spawn(greet, "greeter")

        assert await greeter.ask("Ann") == "Hello, Ann"


async def test_a_class_whose_parameters_have_defaults_is_made_without_a_context() -> None:
    async with ActorSystem() as system:
        greeter = await system.spawn(Greeter, "greeter")

        assert await greeter.ask("Ann") == "Hello, Ann"


async def test_a_class_with_one_parameter_is_given_its_context() -> None:
    async with ActorSystem() as system:
        named = await system.spawn(Named, "named")

        assert await named.ask("Ann") == "Hello, Ann, says named"


async def test_a_lambda_is_given_what_it_wants() -> None:
    async with ActorSystem() as system:
        plain = await system.spawn(lambda: Greeter("Hi"), "plain")
        named = await system.spawn(lambda context: Named(context, "Hi"), "named")

        assert await plain.ask("Ann") == "Hi, Ann"
        assert await named.ask("Ann") == "Hi, Ann, says named"


async def test_a_function_that_makes_a_function_may_have_a_context() -> None:
    def echo(context: ActorContext[str]) -> Actor[str]:
        @actor
        async def receive(message: str) -> str:
            return f"{context.ref.name}: {message}"

        return receive()

    async with ActorSystem() as system:
        assert await (await system.spawn(echo, "echo")).ask("hello") == "echo: hello"


async def test_an_address_knows_the_type_of_its_messages() -> None:
    async with ActorSystem() as system:
        greeter = assert_type(await system.spawn(Greeter, "greeter"), ActorRef[str])
        assert_type(await system.spawn(lambda context: Named(context), "named"), ActorRef[str])
        pool = assert_type(await system.pool(Greeter, "pool", 2), Pool[str])

        for address in (greeter, pool):
            with pytest.raises(TypeError):
                await address.ask(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - wrong on purpose


async def test_a_factory_wants_no_more_than_a_context() -> None:
    def greedy(one: object, two: object) -> Greeter:
        return Greeter()

    async with ActorSystem() as system:
        with pytest.raises(SpecError, match="more than a context"):
            await system.spawn(greedy, "greedy")  # type: ignore[arg-type] # wrong on purpose
