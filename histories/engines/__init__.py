"""Where functions of complete customers are computed: in memory, bucket by bucket on disk, on a cluster.

`histories.engines.base` says what every engine offers; what uses it does not know which one runs.
"""
