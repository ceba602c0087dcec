"""Storage: journals, tables, Parquet files and statistics of runs."""
