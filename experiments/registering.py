"""A version of the registered model: a pyfunc model with its signature, and a card that says what it is.

A version is made when a run is promoted, or kept from promotion as a challenger. `models:/NAME@champion`
loads in any process in which Tributary is installed and which reaches the same store.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clv.rescoring import scoring_card
from experiments.tracking import CHAMPION, connect
from histories.errors import ConfigError
from histories.house import version

if TYPE_CHECKING:
    from mlflow import MlflowClient


CHALLENGER = "challenger"
OUTPUTS = (
    "probability_alive",
    "churn_probability",
    "expected_purchases",
    "expected_spend",
    "customer_lifetime_value",
)


def set_champion(name: str, run_id: str, *, mlruns: Path) -> None:
    """Register the run's model if it is not yet, and point the alias `champion` of model `name` at it.

    Raises
    ------
    ConfigError
        When the store knows no such run, or it left no bundle.
    """
    _point(CHAMPION, name, run_id, mlruns)


def set_challenger(name: str, run_id: str, *, mlruns: Path) -> None:
    """The same with the alias `challenger`: a run that was kept from promotion."""
    _point(CHALLENGER, name, run_id, mlruns)


def _point(alias: str, name: str, run_id: str, mlruns: Path) -> None:
    client = connect(mlruns)
    versions = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    number = versions[0].version if versions else _register(client, name, run_id)
    client.set_registered_model_alias(name, alias, number)


def _register(client: MlflowClient, name: str, run_id: str) -> str:
    """Make a version from the bundle among the run's artifacts; its number."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise ConfigError(f"{run_id}: no such run is kept; list runs with `tributary runs`.") from error
    with tempfile.TemporaryDirectory() as kept:
        folder, found = Path(kept), {}
        try:
            for what in ("model.json", "manifest.json"):
                found[what] = Path(client.download_artifacts(run_id, f"bundle/{what}", kept))
            card, manifest = (json.loads(found[what].read_text(encoding="utf-8")) for what in found)
        except (MlflowException, OSError) as error:
            raise ConfigError(
                f"{run_id}: the run left no bundle; list runs with `tributary runs`."
            ) from error
        source = f"{run.info.artifact_uri}/bundle"
        if card.get("purchase_model"):
            scoring = folder / "scoring.json"
            scoring.write_text(json.dumps(scoring_card(card, manifest)), encoding="utf-8")
            save_scoring_model(scoring, card, folder / "model")
            client.log_artifacts(run_id, str(folder / "model"), "model")
            source = f"{run.info.artifact_uri}/model"
    with contextlib.suppress(MlflowException):  # it exists already
        client.create_registered_model(name)
    made = client.create_model_version(
        name, source=source, run_id=run_id, description=model_card(manifest, card)
    )
    client.set_model_version_tag(name, made.version, "tributary.model_version", manifest["model_version"])
    client.set_model_version_tag(name, made.version, "tributary.as_of", manifest["as_of"])
    return str(made.version)


def save_scoring_model(model_json: Path, card: Mapping[str, Any], folder: Path) -> None:
    """Write a pyfunc model that scores purchase summaries, with signature and input example."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
        import pandas as pd
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
        from mlflow.types.schema import Array, Object, Property

    inputs = [ColSpec("double", column) for column in ("frequency", "recency", "T")]
    inputs.append(ColSpec("double", "monetary_value", required=False))
    order = Object([Property("date", "string"), Property("amount", "double")])
    inputs.append(ColSpec(Array(order), "purchases", required=False))
    signature = ModelSignature(
        inputs=Schema(inputs),
        outputs=Schema([ColSpec("double", column) for column in OUTPUTS]),
        params=ParamSchema(
            [
                ParamSpec("horizon_months", "long", int(card["horizon_months"])),
                ParamSpec("as_of", "string", str(card["observation_end"])),
            ]
        ),
    )
    example = pd.DataFrame(
        {
            "frequency": [0.0, 3.0],
            "recency": [0.0, 20.0],
            "T": [30.0, 30.0],
            "monetary_value": [float("nan"), 25.0],
        }
    )
    with warnings.catch_warnings(record=True):  # MLflow has filters of its own inside
        mlflow.pyfunc.save_model(
            str(folder),
            python_model=str(Path(__file__).with_name("scoring_model.py")),
            artifacts={"model": str(model_json)},
            signature=signature,
            input_example=example,
            pip_requirements=[f"tributary-clv=={version()}"],
        )


def model_card(manifest: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """What a version is, in Markdown: data, models, how its forecasts did, what to mind."""
    lines = [
        f"# {manifest.get('name', 'model')}, {manifest.get('model_version', '')}",
        "",
        f"Data to {manifest.get('as_of')}; currency {manifest.get('currency') or 'none'}; time unit "
        f"{manifest.get('time_unit')}; made by version {manifest.get('code_version')}.",
    ]
    if not card.get("purchase_model"):
        return "\n".join([*lines, "", "This run has no purchase model: the version is its bundle."])
    lines += [
        "",
        f"Forecast: {card['chosen']} ({card['reason']}). A frame is scored by it, wholly where `purchases` "
        "stand beside their summaries.",
        "",
        "| window | purchases | per customer | revenue |",
        "| --- | --- | --- | --- |",
    ]
    forecast = card.get("forecast", {})
    for score in forecast.get("origins", ()):
        revenue = score.get("revenue_error")
        total = score.get("total_error")
        lines.append(
            f"| {score['origin']} to {score['until']} | {'-' if total is None else format(total, '+.1%')} | "
            f"{score['mae']:.2f} off | {'-' if revenue is None else format(revenue, '+.1%')} |"
        )
    if forecast.get("reason"):
        lines += ["", f"**{str(forecast['status']).capitalize()}**: {forecast['reason']}."]
    if card.get("contract"):
        lines += [
            "",
            "**Contracts**: the run knows who left; a frame scored here does not. Use `tributary score`.",
        ]
    lines += [
        "",
        "Input: frequency, recency, T (time unit), monetary_value (currency), and purchases (date, amount).",
    ]
    return "\n".join(lines)
