"""What a run leaves behind: tables, Parquet files, figures."""
