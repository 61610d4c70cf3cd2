"""A task that ends when, and with what, the test says."""
import urllib.request

import flyte

env = flyte.TaskEnvironment(name="places")


@env.task
def ask(url: str) -> str:
    with urllib.request.urlopen(url) as answer:
        return answer.read().decode()
