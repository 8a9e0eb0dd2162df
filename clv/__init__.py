"""Customer value: purchase summaries, purchase and spend models, value, validation.

Nothing is offered here: the columns of the customers table are read by who must not load the models. The
models are in `clv.purchases` and `clv.spend`, the whole in `clv.valuation`.
"""

__all__: list[str] = []
