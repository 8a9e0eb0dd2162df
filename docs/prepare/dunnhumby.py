"""Prepare the tables of dunnhumby's Complete Journey for `examples/dunnhumby.toml`.

    python docs/prepare/dunnhumby.py FOLDER OUT

FOLDER holds the data set as Parquet files (`transactions_sample`, `campaigns`, `campaign_descriptions`,
`coupon_redemptions`, `demographics`); OUT receives

- transactions: the receipt lines; the basket is the order, and times are instants (they are in UTC).
- touchpoints: each mailing of a campaign to a household, dated by the campaign's start (only the day is
  known), and each redeemed coupon, dated by its day.
- customers: every household of any table, with its demographics where they are known.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl


def prepare_transactions(folder: Path) -> pl.DataFrame:
    """Receipt lines with an amount in dollars and an instant."""
    return pl.read_parquet(folder / "transactions_sample.parquet").select(
        pl.col("household_id").alias("customer_id"),
        pl.col("transaction_timestamp").dt.replace_time_zone("UTC").alias("timestamp"),
        pl.col("sales_value").alias("amount"),
        pl.col("basket_id").alias("order_id"),
        pl.col("product_id").cast(pl.String).alias("product"),
    )


def prepare_touchpoints(folder: Path) -> pl.DataFrame:
    """Mailings by type of campaign, and redemptions, each known by its date only."""
    campaigns = pl.read_parquet(folder / "campaign_descriptions.parquet")
    mailings = (
        pl.read_parquet(folder / "campaigns.parquet")
        .join(campaigns, on="campaign_id", how="left")
        .select(
            pl.col("household_id").alias("customer_id"),
            pl.col("start_date").cast(pl.Date).alias("timestamp"),
            pl.col("campaign_type").str.replace("Type", "mailing type").alias("channel"),
            pl.lit("outbound").alias("direction"),
            pl.col("campaign_id").cast(pl.String).alias("campaign"),
        )
    )
    redemptions = pl.read_parquet(folder / "coupon_redemptions.parquet").select(
        pl.col("household_id").alias("customer_id"),
        pl.col("redemption_date").cast(pl.Date).alias("timestamp"),
        pl.lit("coupon redemption").alias("channel"),
        pl.lit("inbound").alias("direction"),
        pl.col("campaign_id").cast(pl.String).alias("campaign"),
    )
    return pl.concat([mailings, redemptions]).with_columns(pl.lit("marketing").alias("kind"))


def prepare_customers(folder: Path, *tables: pl.DataFrame) -> pl.DataFrame:
    """Every household that appears anywhere, with its demographics."""
    demographics = pl.read_parquet(folder / "demographics.parquet").rename({"household_id": "customer_id"})
    everyone = pl.concat([table.select("customer_id") for table in (*tables, demographics)]).unique()
    return everyone.join(demographics, on="customer_id", how="left").sort("customer_id")


def main() -> None:
    """Read the folder, write the three tables, say how many rows each has."""
    parser = argparse.ArgumentParser(description="Prepare dunnhumby's Complete Journey.")
    parser.add_argument("folder", type=Path, help="folder with the data set as Parquet files")
    parser.add_argument("out", type=Path, help="folder for the prepared tables")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    transactions = prepare_transactions(arguments.folder)
    touchpoints = prepare_touchpoints(arguments.folder)
    customers = prepare_customers(arguments.folder, transactions, touchpoints)
    tables = {"transactions": transactions, "touchpoints": touchpoints, "customers": customers}
    for name, table in tables.items():
        table.write_parquet(arguments.out / f"{name}.parquet")
        print(f"{name}: {table.height} rows")


if __name__ == "__main__":
    main()
