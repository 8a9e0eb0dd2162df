"""Incremental credit: retention, spend and lifetime value above what would have happened anyway."""

from attribution.incremental.aumann_shapley import panel_credit
from attribution.incremental.estimate import CreditEstimate, estimate_credit
from attribution.incremental.experiment import ChannelExperiment
from attribution.incremental.plan import Plan, plan_for
from attribution.incremental.segments import segment_table
from attribution.incremental.setfunction import PanelPrediction
from attribution.incremental.stocks import decayed_stocks, panel_stocks
from attribution.incremental.table import credit_table, incremental_credit
from histories.panel import Panel
from histories.panel_building import build_panel

__all__ = [
    "ChannelExperiment",
    "CreditEstimate",
    "Panel",
    "PanelPrediction",
    "Plan",
    "build_panel",
    "credit_table",
    "decayed_stocks",
    "estimate_credit",
    "incremental_credit",
    "panel_credit",
    "panel_stocks",
    "plan_for",
    "segment_table",
]
