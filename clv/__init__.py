"""Customer value: purchase summaries, purchase and spend models, value, validation.

The models are in `clv.purchases` and `clv.spend`, the whole in `clv.valuation`.
"""
