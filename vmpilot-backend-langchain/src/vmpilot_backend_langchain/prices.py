"""Prices of models from the list that the package genai-prices carries; it is never fetched over the network."""

from __future__ import annotations

from vmpilot.providers import ModelName, paused_gc
from vmpilot_backend_langchain.providers import find_integration


def find_prices(name: ModelName) -> dict[str, float | None]:
    """The members of a `ModelInfo` that are prices; empty if the list does not know the model.

    They are the standard prices: the list's higher ones for very long prompts have no place in the contract.
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
    # As in LiteLLM's list, a price of 0 stands for an unknown one as often as for a free model.
    return {member: float(price) or None for member, price in prices.items()}
