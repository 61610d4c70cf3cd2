"""A small order desk: a price list that is cached, ten orders side by side, and a bill that needs a second try.

    flyte run workflow.py main --orders 10
"""
import os

import flyte

env = flyte.TaskEnvironment(name="demo")


@env.task(cache="auto")
async def price_list(shop: str) -> dict[str, int]:
    print(f"reading the prices of {shop}")
    return {"apple": 3, "pear": 4}


@env.task
def order(number: int) -> int:
    """One process for each order; they run side by side."""
    return number * number


@env.task(retries=1)
async def bill(amounts: list[int], prices: dict[str, int]) -> str:
    """Its first attempt fails, to show that the second one begins by itself."""
    if os.environ["FLYTE_ATTEMPT_NUMBER"] == "0":
        raise ConnectionError("the printer is out of paper")
    return f"{len(amounts)} orders, {sum(amounts) * prices['apple']} in total"


@env.task
async def main(orders: int = 10) -> str:
    prices = await price_list("corner shop")
    amounts: list[int] = []
    async for amount in flyte.map.aio(order, range(orders)):
        amounts.append(amount)
    again = await price_list("corner shop")  # equal input: answered by the cache, nothing runs
    assert again == prices
    return await bill(amounts, prices)
