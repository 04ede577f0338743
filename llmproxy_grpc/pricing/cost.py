"""The arithmetic of costs: integers all the way, rounded once, to the nearest billionth, halves up."""

from typing import Final

from llmproxy_grpc.messages import Cost, Modality, Price, Rates, Usage

MILLION: Final = 1_000_000


def cost_of(usage: Usage, price: Price) -> Cost | None:
    """What the tokens cost; None if some of them have no price: output other than text."""
    sound = 0
    for tokens in usage.modality_tokens:
        if tokens.output_tokens and tokens.modality is not Modality.TEXT:
            return None
        if tokens.modality is Modality.AUDIO:
            sound += tokens.input_tokens
    rates = _rates(price, usage.input_tokens)
    # Providers err: no part is more than what it is part of.
    cached = min(usage.cached_input_tokens, usage.input_tokens)
    written = min(usage.cache_write_input_tokens, usage.input_tokens - cached)
    for_an_hour = min(usage.cache_write_1h_input_tokens, written)
    fresh = usage.input_tokens - cached - written
    sound = min(sound, fresh)  # nobody tells which tokens were cached: text, as far as there is any
    amount = (
        (fresh - sound) * rates.input
        + sound * rates.audio_input
        + cached * rates.cached_input
        + (written - for_an_hour) * rates.cache_write
        + for_an_hour * rates.cache_write_1h
        + usage.output_tokens * rates.output
    )
    return Cost(price.currency_code, (amount + MILLION // 2) // MILLION)


def _rates(price: Price, input_tokens: int) -> Rates:
    rates = price.rates
    for tier in price.tiers:
        if input_tokens > tier.above:
            rates = tier.rates
    return rates
