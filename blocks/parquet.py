"""Rows as the store keeps them: a reference's frame to Parquet bytes, and back."""

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def parquet_of(frame: "pd.DataFrame") -> bytes:
    """The frame as the store keeps it, without its index."""
    buffer = BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def frame_of_parquet(parquet: bytes) -> "pd.DataFrame":
    """What ``parquet_of`` kept."""
    import pandas as pd

    return pd.read_parquet(BytesIO(parquet))
