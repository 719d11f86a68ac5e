"""Model prices from the list bundled with the package genai-prices; it is never fetched over the network."""

from __future__ import annotations

from vmpilot.providers import ModelName, paused_gc
from vmpilot_backend_langchain.providers import find_integration


def find_prices(name: ModelName) -> dict[str, float | None]:
    """The price members of a `ModelInfo`; empty if the model is not in the list.

    These are the standard prices: the contract has no place for higher prices of very long prompts.
    """
    price_list = find_integration(name.provider).price_list
    if price_list is None:
        return {}
    with paused_gc():
        from genai_prices import Usage, calc_price
    try:
        fresh = calc_price(Usage(input_tokens=1, output_tokens=1), name.name, provider_id=price_list)
        cached = calc_price(Usage(input_tokens=1, cache_read_tokens=1), name.name, provider_id=price_list)
    except LookupError:
        return {}
    prices = {
        "input_price": fresh.input_price,
        "cached_input_price": cached.input_price,
        "output_price": fresh.output_price,
    }
    # As in LiteLLM's list, a price of 0 can mean an unknown price as well as a free model.
    return {member: float(price) or None for member, price in prices.items()}
